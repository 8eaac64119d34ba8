#include "apps/ctl/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "apps/ctl/diagram.hpp"
#include "apps/ctl/names.hpp"
#include "apps/ctl/picture_style.hpp"

namespace sluice::ctl {
namespace {

constexpr double kTop = 104;
constexpr double kRowHeight = 26;
constexpr double kTimeWidth = 84;
constexpr double kBetween = 18;
constexpr std::string_view kDot = "\xc2\xb7";

double table_left() {
  return Diagram::width() + 56;
}
double ours_left() {
  return table_left() + kTimeWidth;
}
double peers_left() {
  return ours_left() + kPillWidth + kBetween;
}
double table_right() {
  return peers_left() + kPillWidth;
}

void draw_title(Svg& svg, const FlowTrace& trace) {
  svg.text({kMargin, 46},
           fmt::format("{}  \xe2\x80\x94  {}", to_string(trace.local), to_string(trace.remote)),
           {.size = 20, .is_bold = true});
  std::string facts = fmt::format("instance {}  {}  worker {}", trace.instance, kDot, trace.worker);
  if (trace.connection) facts += fmt::format("  {}  connection {}", kDot, *trace.connection);
  facts +=
      fmt::format("  {0}  {1} open  {0}  began {2}", kDot,
                  trace.is_active_open() ? "active" : "passive", wall_text(trace.began_wall_ns));
  if (trace.lives > 1) facts += fmt::format("  {}  life {} of {}", kDot, trace.life, trace.lives);
  if (!trace.is_owner_alive) facts += fmt::format("  {}  the process is dead", kDot);
  svg.text({kMargin, 70}, facts, {.size = 12, .colour = kFaint});
}

/// One column: a pill where the state changed, a thread in its colour until it changes again.
void draw_column(Svg& svg, double left, double top, const std::vector<StateRow>& rows,
                 std::optional<tcp::State> StateRow::*side, Source source) {
  const double middle = left + kPillWidth / 2;
  const double end = top + kRowHeight * static_cast<double>(rows.size());
  const auto y_of = [top](std::size_t row) { return top + kRowHeight * static_cast<double>(row); };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::optional<tcp::State>& state = rows[i].*side;
    if (!state) continue;
    std::size_t next = i + 1;
    while (next < rows.size() && !(rows[next].*side)) ++next;
    const double until = next < rows.size() ? y_of(next) : end - kRowHeight / 2;
    svg.line({middle, y_of(i)}, {middle, until}, {.colour = phase_of(*state).fill, .width = 2.4});
  }
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (const std::optional<tcp::State>& state = rows[i].*side)
      draw_state(svg, {left, y_of(i)}, *state, source);
}

/// The two columns of states over time. Gives its lower end.
double draw_table(Svg& svg, const std::vector<StateRow>& rows) {
  svg.text({table_left(), kTop + 12}, "States over time", {.size = 13, .is_bold = true});
  const double head = kTop + 36;
  const TextStyle heading{.size = 11, .colour = kFaint};
  svg.text({table_left(), head}, "time, s", heading);
  TextStyle centred = heading;
  centred.anchor = "middle";
  svg.text({ours_left() + kPillWidth / 2, head}, "our side", centred);
  svg.text({peers_left() + kPillWidth / 2, head}, "peer's side (~)", centred);
  svg.line({table_left(), head + 9}, {table_right(), head + 9},
           {.colour = "#b0bec5", .width = 1.2});
  const double top = head + 9 + kRowHeight / 2 + 4;
  for (std::size_t i = 0; i < rows.size(); ++i)
    svg.text({table_left(), top + kRowHeight * static_cast<double>(i) + 3.6}, rows[i].time,
             {.size = 10.5, .colour = "#546e7a", .is_mono = true});
  draw_column(svg, ours_left(), top, rows, &StateRow::ours, Source::kKnown);
  draw_column(svg, peers_left(), top, rows, &StateRow::peers, Source::kInferred);
  return top + kRowHeight * static_cast<double>(rows.size());
}

/// What the whole connection came to. Gives its lower end.
double draw_facts(Svg& svg, const FlowTrace& trace, double top) {
  std::uint64_t sent = 0, received = 0, sent_bytes = 0, received_bytes = 0, again = 0, dropped = 0;
  for (const TraceItem& item : trace.items) {
    if (item.kind != TraceItem::Kind::kSegment) continue;
    const TracedSegment& segment = item.segment;
    ++(segment.is_sent ? sent : received);
    again += segment.is_retransmission ? 1 : 0;
    dropped += segment.is_dropped ? 1 : 0;
    if (!segment.is_retransmission && !segment.is_dropped)
      (segment.is_sent ? sent_bytes : received_bytes) += segment.payload;
  }
  const Duration length =
      trace.items.empty() ? Duration::zero() : trace.items.back().time - trace.items.front().time;
  const std::array<std::pair<std::string_view, std::string>, 5> facts = {{
      {"sent", fmt::format("{} segments, {} octets", sent, sent_bytes)},
      {"received", fmt::format("{} segments, {} octets", received, received_bytes)},
      {"sent again", fmt::format("{}", again)},
      {"dropped here", fmt::format("{}", dropped)},
      {"lasted", seconds_text(length) + " s"},
  }};
  double y = top + 26;
  svg.text({table_left(), y}, "In all", {.size = 13, .is_bold = true});
  for (const auto& [name, value] : facts) {
    y += 20;
    svg.text({table_left(), y}, name, {.size = 11, .colour = kFaint});
    svg.text({ours_left(), y}, value, {.size = 11});
  }
  return y;
}

/// What colours and marks mean. Gives the picture's height.
double draw_legend(Svg& svg, double top) {
  svg.line({kMargin, top}, {table_right(), top}, {.colour = kHair, .width = 1.2});
  const double y = top + 26;
  double x = kMargin;
  const auto put = [&](std::string_view text, double width) {
    svg.text({x, y + 3.8}, text, {.size = 11});
    x += width;
  };
  for (const Phase* phase : {&kOpening, &kOpen, &kClosing, &kTimeWaiting, &kNoConnection}) {
    svg.box({x, y - 7}, {22, 14}, {.fill = phase->fill, .radius = 4});
    x += 29;
    put(phase->name, 7.0 * static_cast<double>(phase->name.size()) + 20);
  }
  struct Mark {
    std::string_view colour;
    std::string_view dashes;
    double width;
    std::string_view text;
  };
  static constexpr std::array<Mark, 4> kMarks = {{{kInk, "", 1.5, "control"},
                                                  {kDataColour, "", 2.2, "data"},
                                                  {kAgainColour, "", 1.5, "sent again"},
                                                  {kDropColour, "6 4", 1.5, "dropped here"}}};
  for (const Mark& mark : kMarks) {
    svg.line({x, y}, {x + 26, y},
             {.colour = mark.colour, .width = mark.width, .dashes = mark.dashes});
    x += 33;
    put(mark.text, 6.8 * static_cast<double>(mark.text.size()) + 20);
  }
  svg.text({kMargin, y + 30},
           "Times are our clock's; the height of the picture is not to scale. Sequence numbers are "
           "relative to each side's ISN. ~ and a dotted frame: the peer's state, inferred from the "
           "segments seen here.",
           {.size = 10.5, .colour = kFaint});
  return y + 52;
}

}  // namespace

std::string draw_picture(const FlowTrace& trace, const PictureOptions& options) {
  Svg svg;
  Diagram diagram(trace, options.max_segments);
  draw_title(svg, trace);
  diagram.draw(svg, kTop);
  const double table_end = draw_facts(svg, trace, draw_table(svg, diagram.state_rows()));
  const double height = draw_legend(svg, std::max(kTop + diagram.height(), table_end) + 30);
  return svg.file({table_right() + kMargin, height},
                  fmt::format("{} - {}", to_string(trace.local), to_string(trace.remote)));
}

}  // namespace sluice::ctl
