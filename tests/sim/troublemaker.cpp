#include "tests/sim/troublemaker.hpp"

#include <algorithm>

#include "tests/sim/rebuild.hpp"

namespace sluice::sim {
namespace {

using support::Octets;
using support::ParsedFrame;
using wire::SackBlock;
using wire::seq_distance;
using wire::seq_geq;
using wire::seq_gt;
using wire::seq_leq;
using wire::seq_lt;
using wire::TcpHeader;

constexpr unsigned kMostParts = 8;  // of an ACK that is split

std::uint32_t length_of(const ParsedFrame& frame) {
  return static_cast<std::uint32_t>(frame.payload.size()) + (frame.tcp->has(wire::kSyn) ? 1u : 0u) +
         (frame.tcp->has(wire::kFin) ? 1u : 0u);
}

}  // namespace

Troublemaker::Troublemaker(const MischiefPlan& plan, Instant begin, std::uint64_t seed)
    : plan_(plan), begin_(begin), rng_(seed) {}

void Troublemaker::on_sent(unsigned direction, Frames& frames, Instant now) {
  auto frame = support::parse_frame(frames[0]);
  if (!frame || !frame->tcp || frame->tcp->has(wire::kRst)) return;
  if (frame->ip->destination != Plan::kHost[1 - direction]) return;
  is_active_ = now >= begin_ + plan_.from && now < begin_ + plan_.until;
  const bool is_liars = direction == plan_.host;
  const std::uint16_t source = frame->tcp->source.value;
  const std::uint16_t destination = frame->tcp->destination.value;
  Flow& flow = flows_[is_liars ? FlowId{source, destination} : FlowId{destination, source}];
  if (is_liars) {
    on_liars(*frame, flow, frames);
  } else {
    on_victims(*frame, flow, frames);
  }
}

void Troublemaker::on_victims(ParsedFrame& frame, Flow& flow, Frames& frames) {
  TcpHeader& tcp = *frame.tcp;
  if (tcp.has(wire::kSyn)) {
    flow.has_victims_syn = true;
    flow.may_sack = tcp.options.has_sack_permitted;
    flow.victims_first = tcp.seq + 1;
    flow.victims_next = flow.liars_ack = flow.victims_first;
    flow.gone.reset();
  }
  const wire::SeqNum right = tcp.seq + length_of(frame);
  if (seq_gt(right, flow.victims_next)) flow.victims_next = right;
  if (plan_.kind == Mischief::kRenege && is_active_ && flow.may_sack && flow.has_liars_syn &&
      !flow.gone && frame.payload.size() > 1 && !tcp.has(wire::kFin) &&
      seq_gt(tcp.seq, flow.liars_ack) && is_drawn()) {
    flow.gone = SackBlock{tcp.seq, right};
    frames.clear();
    return;
  }
  // The liar reads its own clock back, less what it has jumped.
  if (clock_offset_ == 0 || !tcp.options.has_timestamps || !tcp.has(wire::kAck)) return;
  tcp.options.ts_ecr -= clock_offset_;
  frames[0] = rebuild(frame);
}

void Troublemaker::on_liars(ParsedFrame& frame, Flow& flow, Frames& frames) {
  TcpHeader& tcp = *frame.tcp;
  if (tcp.has(wire::kSyn)) {
    flow.has_liars_syn = true;
    flow.may_sack &= tcp.options.has_sack_permitted;
  }
  bool is_changed = is_active_ && misstate_scale(tcp);
  if (tcp.options.has_timestamps) {
    const bool is_clock =
        plan_.kind == Mischief::kClockForward || plan_.kind == Mischief::kClockBack;
    // Ahead by at most 2^27 ms at a time and seldom: a jump of 2^31 would be one to the past.
    if (is_clock && is_active_ && rng_.chance(1, 64)) {
      const auto jump = static_cast<std::uint32_t>(rng_.below(1u << rng_.below(26)) + 1);
      if (plan_.kind == Mischief::kClockBack) {
        clock_offset_ -= jump;
      } else if (clock_offset_ < 1u << 29) {
        clock_offset_ += jump;
      }
    }
    tcp.options.ts_val += clock_offset_;
    is_changed |= clock_offset_ != 0;
  }
  const bool has_news = tcp.has(wire::kAck) && seq_gt(tcp.ack, flow.liars_ack);
  const bool is_pure = frame.payload.empty() && !tcp.has(wire::kSyn | wire::kFin);
  if (is_active_ && tcp.has(wire::kAck) && flow.has_victims_syn) {
    if (plan_.kind == Mischief::kSplitAcks && is_pure && has_news && is_drawn())
      split(frame, flow, frames);
    is_changed |= falsify(frame, flow);
  }
  // Only here: a split ACK must not come before what it repeats.
  if (is_changed) frames.back() = rebuild(frame);
  if (is_active_ && plan_.kind == Mischief::kDuplicateAcks && is_pure && is_drawn())
    frames.insert(frames.end(), 1 + rng_.below(4), frames.back());
  if (has_news) flow.liars_ack = tcp.ack;
  if (flow.gone && seq_geq(flow.liars_ack, flow.gone->right)) flow.gone.reset();
}

/// Puts ACKs for parts of what this one acknowledges before it.
void Troublemaker::split(const ParsedFrame& frame, const Flow& flow, Frames& frames) {
  const std::uint32_t whole = seq_distance(flow.liars_ack, frame.tcp->ack);
  const auto parts = static_cast<std::uint32_t>(2 + rng_.below(kMostParts - 1));
  if (whole < parts) return;
  ParsedFrame part = frame;
  for (std::uint32_t i = 1; i < parts; ++i) {
    part.tcp->ack = flow.liars_ack + whole / parts * i;
    frames.insert(frames.end() - 1, rebuild(part));
  }
}

/// Adds `block` as the first, if the segment has room. What does not fit falls off the end.
void Troublemaker::report(TcpHeader& tcp, SackBlock block) {
  wire::TcpOptions& options = tcp.options;
  const auto most = static_cast<std::uint8_t>(options.has_timestamps ? 3 : wire::kMaxSackBlocks);
  options.sack_count =
      std::min<std::uint8_t>(static_cast<std::uint8_t>(options.sack_count + 1), most);
  std::copy_backward(options.sack, options.sack + options.sack_count - 1,
                     options.sack + options.sack_count);
  options.sack[0] = block;
}

/// Changes one segment of the liar. True if it did.
bool Troublemaker::falsify(ParsedFrame& frame, Flow& flow) {
  TcpHeader& tcp = *frame.tcp;
  const bool is_syn = tcp.has(wire::kSyn);
  const bool is_pure = frame.payload.empty() && !is_syn;
  switch (plan_.kind) {
    case Mischief::kNone:
    case Mischief::kSplitAcks:
    case Mischief::kDuplicateAcks:
    case Mischief::kClockForward:
    case Mischief::kClockBack:
    case Mischief::kWindowScale:
    case Mischief::kCount:
      return false;
    case Mischief::kOptimistic:
      if (is_syn || !seq_gt(flow.victims_next, tcp.ack) || !is_drawn()) return false;
      tcp.ack +=
          static_cast<std::uint32_t>(rng_.below(seq_distance(tcp.ack, flow.victims_next)) + 1);
      return true;
    case Mischief::kShrinkWindow:
      if (is_syn || !is_drawn()) return false;
      tcp.window = static_cast<std::uint16_t>(rng_.below(std::uint64_t{tcp.window} + 1));
      return true;
    case Mischief::kZeroWindow:
      if (is_syn) return false;
      tcp.window = 0;
      return true;
    case Mischief::kRenege:
      if (!is_pure || !flow.gone || seq_gt(tcp.ack, flow.gone->left)) return false;
      report(tcp, *flow.gone);
      return true;
    case Mischief::kFalseDsack: {
      const std::uint32_t acked = seq_distance(flow.victims_first, tcp.ack);
      if (!is_pure || !flow.may_sack || acked < 2 || acked > 1u << 30 || !is_drawn()) return false;
      const auto back = static_cast<std::uint32_t>(rng_.below(std::min(acked, 20'000u)) + 1);
      const auto length = static_cast<std::uint32_t>(rng_.below(std::min(back, 1460u)) + 1);
      report(tcp, {tcp.ack - back, tcp.ack - back + length});
      return true;
    }
    case Mischief::kFalseEcho:
      if (is_syn || !tcp.options.has_timestamps || !is_drawn()) return false;
      tcp.options.ts_ecr =
          rng_.chance(1, 4)
              ? 0
              : tcp.options.ts_ecr + static_cast<std::uint32_t>(rng_.below(200'000)) - 100'000u;
      return true;
    case Mischief::kAlwaysEce:
      if (is_syn || !is_drawn()) return false;
      tcp.flags |= wire::kEce;
      return true;
  }
  return false;
}

/// A shift count in the liar's SYN that it does not use. An eighth of its window stays visible.
bool Troublemaker::misstate_scale(TcpHeader& tcp) {
  if (plan_.kind != Mischief::kWindowScale || !tcp.has(wire::kSyn)) return false;
  if (!tcp.options.has_window_scale) return false;
  std::uint8_t& scale = tcp.options.window_scale;
  switch (rng_.below(3)) {
    case 0:  // RFC 7323 2.3: more than 14 means 14
      scale = static_cast<std::uint8_t>(15 + rng_.below(241));
      break;
    case 1:
      scale = static_cast<std::uint8_t>(scale + 1 + rng_.below(4));
      break;
    case 2:
      scale = static_cast<std::uint8_t>(scale - std::min<std::uint64_t>(scale, 1 + rng_.below(3)));
      break;
  }
  return true;
}

}  // namespace sluice::sim
