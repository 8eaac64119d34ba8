#include "apps/ctl/diagram.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "apps/ctl/names.hpp"
#include "apps/ctl/picture_style.hpp"
#include "apps/ctl/trace_text.hpp"
#include "wire/tcp.hpp"

namespace sluice::ctl {
namespace {

using tcp::State;

//   margin | times | axis | our states | our lifeline ...... peer's lifeline | peer's states
constexpr double kAxis = kMargin + 84;
constexpr double kOurPill = kAxis + 22;
constexpr double kOurLine = kOurPill + kPillWidth + 16;
constexpr double kPeerLine = kOurLine + 430;
constexpr double kMiddle = (kOurLine + kPeerLine) / 2;
constexpr double kPeerPill = kPeerLine + 16;
constexpr double kBarHalf = 4;  ///< Lifelines are bars in the colour of the state's phase.
constexpr double kHeadHeight = 42;
constexpr double kSlant = 16;  ///< How much lower an arrow ends than it begins.
constexpr double kSegmentHeight = 56;
constexpr double kRemarkHeight = 14;
constexpr double kNoteHeight = 34;
constexpr double kNextState = kPillHeight + 4;  ///< From a state to the next that the same led to.
constexpr double kGapHeight = 48;
constexpr double kPauseHeight = 34;
constexpr Duration kLongPause = Duration::from_ms(100);

constexpr std::string_view kPale = "#546e7a";
constexpr std::string_view kDot = "\xc2\xb7";
constexpr std::string_view kEllipsis = "\xe2\x80\xa6";

std::optional<State> state_from(std::uint8_t state) {
  if (state >= tcp::kStateCount) return std::nullopt;
  return static_cast<State>(state);
}

bool has_remark(const TracedSegment& segment) {
  return segment.is_refused || segment.is_retransmission;
}

}  // namespace

double Diagram::width() {
  return kPeerPill + kPillWidth;
}

Diagram::Diagram(const FlowTrace& trace, std::size_t max_segments)
    : trace_(trace), rows_(choose_rows(trace, max_segments)) {
  lay_out();
}

void Diagram::lay_out() {
  y_ = kHeadHeight + 28;
  if (const auto first = state_from(trace_.first_state)) {
    ours_.push_back({y_, *first});
    state_rows_.push_back({"", first, std::nullopt});
  }
  y_ += 36;
  for (const PictureRow& row : rows_) {
    if (row.item == nullptr) {
      place_gap(row);
    } else {
      place_pause(*row.item);
      place_item(*row.item);
    }
  }
}

void Diagram::place_gap(const PictureRow& gap) {
  gaps_.emplace_back(y_, gap);
  y_ += kGapHeight;
  last_time_.reset();
}

void Diagram::place_pause(const TraceItem& item) {
  if (last_time_ && item.time - *last_time_ >= kLongPause) {
    pauses_.emplace_back(y_, remaining_text(item.time - *last_time_));
    y_ += kPauseHeight;
  }
  last_time_ = item.time;
}

void Diagram::place_item(const TraceItem& item) {
  const bool is_segment = item.kind == TraceItem::Kind::kSegment;
  const bool is_arriving = is_segment && !item.segment.is_sent;
  // Our end of an arrow is where the item's time is; when the peer's end was is not known.
  const double our_y = is_arriving ? y_ + kSlant : y_;
  const double peer_y = is_arriving || !is_segment ? y_ : y_ + kSlant;
  const double more_states =
      item.transitions.empty() ? 0 : kNextState * static_cast<double>(item.transitions.size() - 1);
  items_.push_back({y_, our_y, our_y + more_states, &item});
  place_states(item, our_y, peer_y);
  y_ += is_segment ? kSegmentHeight + (has_remark(item.segment) ? kRemarkHeight : 0) : kNoteHeight;
  y_ += more_states;
}

void Diagram::place_states(const TraceItem& item, double our_y, double peer_y) {
  const std::string time = seconds_text(item.time - trace_.items.front().time);
  const std::size_t first_row = state_rows_.size();
  for (const auto& [from, to] : item.transitions) {
    const auto state = state_from(to);
    if (state) ours_.push_back({our_y, *state});
    if (state) state_rows_.push_back({time, state, std::nullopt});
    our_y += kNextState;
  }
  if (!item.has_peer_changed || !item.peer_state) return;
  peers_.push_back({peer_y, *item.peer_state});
  if (state_rows_.size() == first_row) state_rows_.push_back({time, std::nullopt, std::nullopt});
  state_rows_.back().peers = item.peer_state;  // beside the last of ours
}

void Diagram::draw(Svg& svg, double top) {
  svg_ = &svg;
  top_ = top;
  draw_axis();
  draw_lifeline(kOurLine, ours_);
  draw_lifeline(kPeerLine, peers_);
  draw_ends();
  for (const auto& [y, gap] : gaps_) draw_gap(y, gap);
  for (const auto& [y, length] : pauses_) draw_pause(y, length);
  for (const Placed& placed : items_) draw_item(placed);
  draw_states();
  svg_ = nullptr;
}

void Diagram::draw_ends() {
  draw_end_box(kOurLine, to_string(trace_.local), "our side");
  draw_end_box(kPeerLine, to_string(trace_.remote), "peer's side, inferred");
}

void Diagram::draw_end_box(double x, const std::string& endpoint, std::string_view who) {
  const double width = std::max(160.0, 8.4 * static_cast<double>(endpoint.size()) + 24);
  svg_->box({x - width / 2, at(0)}, {width, kHeadHeight},
            {.fill = "#eceff1", .stroke = "#b0bec5", .radius = 6});
  svg_->text({x, at(18)}, endpoint, {.size = 12.5, .anchor = "middle", .is_bold = true});
  svg_->text({x, at(34)}, who, {.size = 11, .colour = kPale, .anchor = "middle"});
}

void Diagram::draw_axis() {
  svg_->text({kAxis - 10, at(26)}, "time, s", {.size = 11, .colour = kPale, .anchor = "end"});
  svg_->line({kAxis, at(kHeadHeight - 8)}, {kAxis, at(height())}, {.colour = kHair, .width = 1.4});
  std::string last;
  for (const Placed& placed : items_) {
    const std::string time = seconds_text(placed.item->time - trace_.items.front().time);
    if (time == last) continue;
    svg_->line({kAxis - 4, at(placed.our_y)}, {kAxis + 4, at(placed.our_y)},
               {.colour = kFaint, .width = 1.2});
    svg_->text({kAxis - 10, at(placed.our_y) + 3.6}, time,
               {.size = 10.5, .colour = kPale, .anchor = "end", .is_mono = true});
    last = time;
  }
}

void Diagram::draw_lifeline(double x, const std::vector<StateChange>& changes) {
  svg_->line({x, at(kHeadHeight)}, {x, at(height())},
             {.colour = "#b0bec5", .width = 1.4, .dashes = "3 3"});
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const double end = i + 1 < changes.size() ? changes[i + 1].y : height();
    svg_->box({x - kBarHalf, at(changes[i].y)}, {2 * kBarHalf, end - changes[i].y},
              {.fill = phase_of(changes[i].state).fill});
  }
}

void Diagram::draw_gap(double y, const PictureRow& gap) {
  const double middle = at(y) + 4;
  for (const double x : {kOurLine, kPeerLine}) {
    svg_->box({x - 8, middle - 11}, {16, 22}, {.fill = "#ffffff"});
    for (const double dy : {-6.0, 0.0, 6.0})
      svg_->circle({x, middle + dy}, 1.4, {.fill = kFaint, .stroke = kFaint});
  }
  const auto number = [](std::uint64_t count, std::string_view unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  svg_->text({kMiddle, middle - 1},
             fmt::format("{}  {}  {}", kEllipsis, number(gap.segments, "segment"), kEllipsis),
             {.size = 12.5, .anchor = "middle", .is_bold = true});
  svg_->text({kMiddle, middle + 14},
             fmt::format("{} sent, {} received", number(gap.bytes_sent, "octet"),
                         number(gap.bytes_received, "octet")),
             {.size = 10.5, .colour = kPale, .anchor = "middle"});
}

void Diagram::draw_pause(double y, const std::string& length) {
  const double middle = at(y) - 2;
  const LineStyle dotted{.colour = "#b0bec5", .width = 1.2, .dashes = "2 4"};
  svg_->line({kOurLine + 14, middle}, {kMiddle - 62, middle}, dotted);
  svg_->line({kMiddle + 62, middle}, {kPeerLine - 14, middle}, dotted);
  svg_->text({kMiddle, middle + 4}, length + " later",
             {.size = 11, .colour = kPale, .anchor = "middle", .is_italic = true});
}

void Diagram::draw_item(const Placed& placed) {
  if (placed.item->kind == TraceItem::Kind::kSegment) {
    draw_segment(placed.y, placed.item->segment);
  } else {
    draw_note(placed.y, *placed.item);
  }
  if (placed.item->close_reason)
    svg_->text({kOurPill + kPillWidth / 2, at(placed.last_state_y) + 23},
               std::string(close_reason_text(*placed.item->close_reason)),
               {.size = 10, .colour = kPale, .anchor = "middle", .is_italic = true});
}

void Diagram::draw_arrow(double y, const TracedSegment& segment, std::string_view colour) {
  const double away = kBarHalf + 2;
  const double direction = segment.is_sent ? 1 : -1;
  const Point from{(segment.is_sent ? kOurLine : kPeerLine) + direction * away, at(y)};
  Point to{(segment.is_sent ? kPeerLine : kOurLine) - direction * away, at(y) + kSlant};
  if (segment.is_dropped) {  // it ends short of the lifeline, in a cross
    const double short_by = 16;
    to = {to.x - direction * short_by, to.y - kSlant * short_by / (kPeerLine - kOurLine)};
  }
  svg_->line(from, {to.x - direction * (segment.is_dropped ? 0 : 6), to.y},
             {.colour = colour,
              .width = segment.payload != 0 ? 2.2 : 1.5,
              .dashes = segment.is_dropped ? "6 4" : ""});
  if (!segment.is_dropped) {
    svg_->arrow_head(from, to, colour);
    return;
  }
  svg_->line({to.x - 6, to.y - 6}, {to.x + 6, to.y + 6}, {.colour = colour, .width = 2.4});
  svg_->line({to.x - 6, to.y + 6}, {to.x + 6, to.y - 6}, {.colour = colour, .width = 2.4});
}

std::string Diagram::numbers_of(const TracedSegment& segment) const {
  std::string text = fmt::format("seq {}", trace_.relative_seq(segment));
  if ((segment.flags & wire::kAck) != 0)
    text += fmt::format("  ack {}", trace_.relative_ack(segment));
  return text + fmt::format("  win {}", segment.window);
}

void Diagram::draw_segment(double y, const TracedSegment& segment) {
  const std::string_view colour = segment.is_dropped          ? kDropColour
                                  : segment.is_retransmission ? kAgainColour
                                  : segment.payload != 0      ? kDataColour
                                                              : kInk;
  draw_arrow(y, segment, colour);
  std::string title = flags_text(segment.flags);
  std::replace(title.begin(), title.end(), ',', ' ');
  if (segment.payload != 0)
    title +=
        fmt::format("  {}  {} octet{}", kDot, segment.payload, segment.payload == 1 ? "" : "s");
  svg_->text({kMiddle, at(y) + 1}, title,
             {.size = 12.5, .colour = colour, .anchor = "middle", .is_bold = true});
  svg_->text({kMiddle, at(y) + kSlant + 8}, numbers_of(segment),
             {.size = 10.5, .colour = kPale, .anchor = "middle", .is_mono = true});
  if (!has_remark(segment)) return;
  std::string remark = segment.is_retransmission ? "sent again" : "";
  if (segment.is_refused) remark += (remark.empty() ? "" : "; ") + refusal_text(segment);
  svg_->text({kMiddle, at(y) + kSlant + 23}, remark,
             {.size = 10.5,
              .colour = segment.is_dropped ? kDropColour : kAgainColour,
              .anchor = "middle",
              .is_italic = true});
}

void Diagram::draw_note(double y, const TraceItem& item) {
  const Point mark{kOurLine + 24, at(y)};
  std::string text;
  switch (item.kind) {
    case TraceItem::Kind::kTimer:  // a clock
      text = fmt::format("{} timer", timer_name(item.detail));
      svg_->line({kOurLine + kBarHalf, mark.y}, mark, {.colour = kFaint, .width = 1.2});
      svg_->circle(mark, 6.5, {.fill = "#ffffff", .stroke = kInk});
      svg_->line(mark, {mark.x, mark.y - 4.4}, {.width = 1.3});
      svg_->line(mark, {mark.x + 3.2, mark.y + 1.6}, {.width = 1.3});
      break;
    case TraceItem::Kind::kUserCall:
      text = fmt::format("application: {}", user_call_name(item.detail));
      svg_->line({kOurLine + kBarHalf, mark.y}, mark, {.colour = kFaint, .width = 1.2});
      svg_->circle(mark, 4, {.fill = kInk, .stroke = kInk});
      break;
    case TraceItem::Kind::kClosed:
    case TraceItem::Kind::kTransition:
    case TraceItem::Kind::kSegment:
      return;
  }
  svg_->text({mark.x + 14, mark.y + 4}, text, {.size = 11.5});
}

void Diagram::draw_states() {
  for (const StateChange& change : ours_) {
    svg_->line({kOurPill + kPillWidth, at(change.y)}, {kOurLine, at(change.y)},
               {.colour = phase_of(change.state).fill, .width = 2.4});
    draw_state(*svg_, {kOurPill, at(change.y)}, change.state, Source::kKnown);
  }
  for (const StateChange& change : peers_) {
    svg_->line({kPeerLine, at(change.y)}, {kPeerPill, at(change.y)},
               {.colour = phase_of(change.state).fill, .width = 2.4});
    draw_state(*svg_, {kPeerPill, at(change.y)}, change.state, Source::kInferred);
  }
}

}  // namespace sluice::ctl
