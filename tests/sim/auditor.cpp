#include "tests/sim/auditor.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::sim {
namespace {

/// The SYN's place. Numbers before it have one too: a forgery or an old duplicate may arrive from
/// there, and be reported.
constexpr std::uint64_t kSyn = std::uint64_t{1} << 31;
/// Longer frames have payload. A damaged one may count as arrived: that only makes the model
/// milder.
constexpr std::size_t kWorthASum = 128;

std::uint64_t place_of(wire::SeqNum iss, wire::SeqNum at) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(kSyn) + wire::seq_offset(iss, at));
}

}  // namespace

// --- RangeSet ---

void RangeSet::add(Range range) {
  if (range.left >= range.right) return;
  auto first = std::lower_bound(ranges_.begin(), ranges_.end(), range.left,
                                [](const Range& r, std::uint64_t left) { return r.right < left; });
  auto last = first;
  for (; last != ranges_.end() && last->left <= range.right; ++last) {
    range.left = std::min(range.left, last->left);
    range.right = std::max(range.right, last->right);
  }
  if (first == last) {
    ranges_.insert(first, range);
  } else {
    *first = range;
    ranges_.erase(first + 1, last);
  }
}

bool RangeSet::holds(Range range) const {
  return run_from(range.left) >= range.right;
}

std::uint64_t RangeSet::run_from(std::uint64_t left) const {
  const auto found =
      std::upper_bound(ranges_.begin(), ranges_.end(), left,
                       [](std::uint64_t at, const Range& r) { return at < r.right; });
  return found != ranges_.end() && found->left <= left ? found->right : left;
}

// --- Auditor ---

/// A TCP segment between the two hosts.
struct Auditor::Seen {
  Id id;
  wire::TcpHeader tcp;
  std::uint32_t length;  ///< SYN and FIN included.

  static std::optional<Seen> of(unsigned from, std::span<const std::byte> frame) {
    const auto ethernet = wire::parse_ethernet(frame);
    if (!ethernet || ethernet->ether_type != wire::ether_type::kIpv4) return std::nullopt;
    const auto packet = frame.subspan(ethernet->length());
    const auto ip = wire::parse_ipv4(packet);
    if (!ip || ip->protocol != wire::ip_protocol::kTcp || ip->is_fragment() ||
        ip->source != Plan::kHost[from] || ip->destination != Plan::kHost[1 - from])
      return std::nullopt;
    const auto segment = packet.subspan(ip->header_length, ip->payload_length());
    Seen seen;
    if (!wire::parse_tcp(segment, seen.tcp).ok || seen.tcp.has(wire::kRst)) return std::nullopt;
    if (frame.size() <= kWorthASum) {
      wire::Checksum sum;
      sum.add_pseudo_header(ip->source, ip->destination, wire::ip_protocol::kTcp,
                            ip->payload_length());
      sum.add(segment);
      if (sum.finish() != 0) return std::nullopt;
    }
    seen.id[from] = seen.tcp.source.value;
    seen.id[1 - from] = seen.tcp.destination.value;
    seen.length = static_cast<std::uint32_t>(segment.size()) - seen.tcp.header_length +
                  (seen.tcp.has(wire::kSyn) ? 1u : 0u) + (seen.tcp.has(wire::kFin) ? 1u : 0u);
    return seen;
  }
};

/// All that counts in the numbers of one end begins anew with its SYN.
void Auditor::note_syn(Side& self, Side& other, const Seen& seen) {
  if (self.has_syn && self.iss == seen.tcp.seq) return;
  if (!seen.tcp.has(wire::kAck)) {
    other.former.clear();
    other.acked = 0;
    other.is_of_old_life = true;
  } else if (!self.has_syn || self.is_opener || self.is_of_old_life) {
    self.former.clear();
  } else if (self.acked > kSyn) {
    // An answer to a late duplicate of the SYN, or a new connection: the client's ACK will tell.
    self.former.push_back(seen.tcp.seq);
    return;
  } else {
    self.former.push_back(self.iss);
  }
  self.has_syn = true;
  self.is_of_old_life = false;
  self.is_opener = !seen.tcp.has(wire::kAck);
  self.iss = seen.tcp.seq;
  self.sent = self.acked = self.window_heard = 0;
  self.edge_told = 0;  // what an earlier connection told binds this one to nothing
  self.has_scale = seen.tcp.options.has_window_scale;
  self.scale = std::min(seen.tcp.options.window_scale, wire::kMaxWindowScale);
  // A listener that has forgotten answers the same SYN anew: the other end goes on with the old.
  if (!self.is_opener && other.is_synced) other.is_opener = false;
  other.is_synced = false;
  other.arrived = RangeSet();
  other.has_fin = false;
  other.edge_told = 0;
  other.heard_scale = false;
  other.other_scale = 0;
}

/// A client takes one of the answers to its SYN, not always the last: with cookies all are good.
void Auditor::note_choice(Side& self, Side& other, const Seen& seen) {
  const wire::SeqNum chosen = seen.tcp.ack - 1;
  const auto found = std::find(other.former.begin(), other.former.end(), chosen);
  if (chosen == other.iss || found == other.former.end()) return;
  *found = std::exchange(other.iss, chosen);
  other.sent = kSyn + 1;
  other.acked = other.window_heard = other.edge_told = 0;
  self.has_fin = false;
  self.edge_told = 0;
  self.arrived = RangeSet();
  self.arrived.add({kSyn, kSyn + 1});
  self.heard_scale = other.has_scale;
  self.other_scale = other.scale;
}

void Auditor::on_sent(unsigned from, std::span<const std::byte> frame) {
  const auto seen = Seen::of(from, frame);
  if (!seen) return;
  Connection& connection = connections_[seen->id];
  Side& self = connection[from];
  Side& other = connection[1 - from];
  if (seen->tcp.has(wire::kSyn)) {
    // A SYN-ACK for a SYN that the other end has not sent goes to a stranger.
    const bool is_answer = seen->tcp.has(wire::kAck);
    if (is_answer && !(other.has_syn && seen->tcp.ack == other.iss + 1)) {
      self.told_strangers.push_back({seen->tcp.seq + 1, seen->tcp.ack});
      return;
    }
    note_syn(self, other, *seen);
  }
  // A stranger's half-open entry, or the end of an old connection, has numbers of its own.
  const auto& strangers = self.told_strangers;
  if (std::find(strangers.begin(), strangers.end(), std::pair(seen->tcp.seq, seen->tcp.ack)) !=
      strangers.end())
    return;
  // So has an entry that was made by a late duplicate of the other's SYN.
  const auto& former = self.former;
  if (seen->length == 0 && other.has_syn && seen->tcp.ack == other.iss + 1 &&
      std::find(former.begin(), former.end(), seen->tcp.seq - 1) != former.end())
    return;
  if (!self.has_syn || place_of(self.iss, seen->tcp.seq) > std::max(self.sent, kSyn)) return;
  check_span(self, *seen);
  if (!seen->tcp.has(wire::kAck) || !other.has_syn) return;
  if (self.is_opener) note_choice(self, other, *seen);
  // Who answers a SYN says so with its own. Until then it may speak of an older connection: a
  // TIME-WAIT entry does.
  self.is_synced |= seen->tcp.has(wire::kSyn) || self.is_opener;
  if (self.is_synced) check_claims(self, other, *seen);
}

/// What the sender says it has: acknowledgement, SACK blocks, window.
void Auditor::check_claims(Side& self, const Side& other, const Seen& seen) {
  const wire::TcpHeader& tcp = seen.tcp;
  const std::uint64_t front = self.arrived.run_from(kSyn);
  const std::uint64_t ack = place_of(other.iss, tcp.ack);
  ++acks_checked_;
  if (ack < kSyn || ack > front)
    ledger_.fail("port {} to {}: acknowledges octet {} of a stream of which {} have come",
                 tcp.source.value, tcp.destination.value, ack - kSyn, front - kSyn);
  for (unsigned i = 0; i < tcp.options.sack_count; ++i) {
    const std::uint64_t left = place_of(other.iss, tcp.options.sack[i].left);
    const std::uint64_t right = place_of(other.iss, tcp.options.sack[i].right);
    ++blocks_checked_;
    if (left >= right || !self.arrived.holds({left, right}))
      ledger_.fail("port {} to {}: SACK says that {}..{} have come, which is not so",
                   tcp.source.value, tcp.destination.value, left - kSyn, right - kSyn);
  }
  // A SYN's window is not scaled, so it may be less than what was told since.
  //= rfc9293#3.8.6 SHLD-14 test
  if (tcp.has(wire::kSyn)) return;
  const bool is_scaled = self.has_scale && self.heard_scale;
  const unsigned shift = is_scaled ? self.scale : 0u;
  const std::uint64_t edge = ack + (std::uint64_t{tcp.window} << shift);
  const std::uint64_t rounding = (std::uint64_t{1} << shift) - 1;  // RFC 7323 2.4
  if (!self.has_fin && edge + rounding < self.edge_told)
    ledger_.fail("port {} to {}: the right edge moves left, from {} to {}", tcp.source.value,
                 tcp.destination.value, self.edge_told - kSyn, edge - kSyn);
  self.edge_told = std::max(self.edge_told, edge);
}

/// Whether the sender keeps to the window, but for one octet that probes it. An ACK that comes with
/// an older sequence number moves SND.UNA and leaves SND.WND (RFC 9293 3.10.7.4), so the edge that
/// a sender goes by is that of no single segment: the bound is the farthest ACK and the widest
/// window.
void Auditor::check_span(Side& self, const Seen& seen) {
  const std::uint64_t right = place_of(self.iss, seen.tcp.seq) + seen.length;
  const std::uint64_t edge = self.acked + self.window_heard;
  if (!seen.tcp.has(wire::kSyn) && seen.length > 0 && right > edge + 1)
    ledger_.fail("port {} to {}: sends up to octet {} into a window that ends at {}",
                 seen.tcp.source.value, seen.tcp.destination.value, right - kSyn, edge - kSyn);
  self.sent = std::max(self.sent, right);
}

void Auditor::on_forged(unsigned to, std::span<const std::byte> frame) {
  const auto seen = Seen::of(1 - to, frame);
  if (!seen) return;
  const auto found = connections_.find(seen->id);
  if (found == connections_.end()) return;
  Side& self = found->second[to];
  const Side& other = found->second[1 - to];
  if (!other.has_syn) return;
  const std::uint64_t left = place_of(other.iss, seen->tcp.seq);
  const std::uint64_t right = std::min(left + seen->length, self.arrived.run_from(kSyn));
  self.arrived.add({left, right});
}

void Auditor::on_arrived(unsigned to, std::span<const std::byte> frame) {
  const auto seen = Seen::of(1 - to, frame);
  if (!seen) return;
  const auto found = connections_.find(seen->id);
  if (found == connections_.end()) return;
  Side& self = found->second[to];
  Side& other = found->second[1 - to];
  const wire::TcpHeader& tcp = seen->tcp;
  if (other.has_syn) {
    const std::uint64_t left = place_of(other.iss, tcp.seq);
    self.arrived.add({left, left + seen->length});
    self.has_fin |= tcp.has(wire::kFin) && left >= kSyn;
    if (tcp.has(wire::kSyn) && left == kSyn && tcp.options.has_window_scale) {
      self.heard_scale = true;
      self.other_scale =
          std::max(self.other_scale, std::min(tcp.options.window_scale, wire::kMaxWindowScale));
    }
  }
  if (!tcp.has(wire::kAck) || !self.has_syn) return;
  // The listener may have answered the SYN once more while the client's choice was on its way.
  if (!self.is_opener) note_choice(other, self, *seen);
  const std::uint64_t ack = place_of(self.iss, tcp.ack);
  if (ack <= kSyn || ack > self.sent) return;  // an older connection's, or a forgery
  const unsigned shift = tcp.has(wire::kSyn) ? 0u : self.other_scale;
  self.acked = std::max(self.acked, ack);
  self.window_heard = std::max(self.window_heard, std::uint64_t{tcp.window} << shift);
}

}  // namespace sluice::sim
