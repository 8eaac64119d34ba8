#pragma once

// Watches the wire and keeps its own model of every stream: what each host was given, and what the
// rules then let it say. It knows nothing of the stacks, so a scoreboard that lies, an
// acknowledgement of what never came or a window overrun is seen at the frame, not when a stream
// happens to stall.
//
//    0 (SYN)      what has arrived at host h, in the other's numbers      right edge told
//    |===================|......|=========|........|====|..................|
//      h may acknowledge ^      SACK blocks lie within these               ^ never moves left,
//      so much                                                               never overrun

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "drivers/sim/sim_link.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/plan_addresses.hpp"
#include "wire/tcp.hpp"

namespace sluice::sim {

/// A set of octets, as ranges in order that neither touch nor overlap.
class RangeSet {
 public:
  struct Range {
    std::uint64_t left;
    std::uint64_t right;
  };
  void add(Range range);
  bool holds(Range range) const;
  /// The end of the range that `left` lies in; `left` itself if it lies in none.
  std::uint64_t run_from(std::uint64_t left) const;
  std::size_t count() const { return ranges_.size(); }

 private:
  std::vector<Range> ranges_;
};

class Auditor {
 public:
  explicit Auditor(Ledger& ledger) : ledger_(ledger) {}

  /// Sees a frame that host `from` has sent, before anything on the wire touched it.
  void on_sent(unsigned from, std::span<const std::byte> frame);
  /// Sees a frame that has reached host `to`, whoever sent it.
  void on_arrived(unsigned to, std::span<const std::byte> frame);
  /// Sees a frame that has reached host `to` in the other's name, and was never the other's. It
  /// binds nobody; but octets that lie before what has come may be reported as duplicates.
  void on_forged(unsigned to, std::span<const std::byte> frame);

  std::uint64_t acks_checked() const { return acks_checked_; }
  std::uint64_t blocks_checked() const { return blocks_checked_; }

 private:
  /// One end of a connection. Offsets count from a SYN: it is octet 0 of its sender's numbers.
  struct Side {
    // In its own numbers.
    bool has_syn = false;
    bool is_opener = false;  ///< Its SYN had no ACK.
    wire::SeqNum iss{};
    bool is_of_old_life = false;  ///< Its SYN was, and it has not answered the other's new one.
    std::vector<wire::SeqNum> former;  ///< Other answers to the same SYN: cookies of other slots.
    /// Of answers to SYNs that the other never sent: what such an entry says next.
    std::vector<std::pair<wire::SeqNum, wire::SeqNum>> told_strangers;
    std::uint64_t sent = 0;          ///< After the farthest octet sent.
    std::uint64_t acked = 0;         ///< The farthest acknowledgement that has reached it.
    std::uint64_t window_heard = 0;  ///< The widest window.
    bool has_scale = false;          ///< In its SYN.
    std::uint8_t scale = 0;
    // In the other's numbers.
    bool is_synced = false;  ///< What it says of them is meant for the other's present SYN.
    RangeSet arrived;        ///< The other's SYN, octets and FIN, here.
    bool has_fin = false;    ///< The other's: no window matters any more.
    std::uint64_t edge_told = 0;
    bool heard_scale = false;  ///< In the other's SYN, as it came here.
    std::uint8_t other_scale = 0;
  };
  using Id = std::array<std::uint16_t, kHosts>;  ///< Port of each host.
  using Connection = std::array<Side, kHosts>;
  struct Seen;

  void note_syn(Side& self, Side& other, const Seen& seen);
  void note_choice(Side& self, Side& other, const Seen& seen);
  void check_claims(Side& self, const Side& other, const Seen& seen);
  void check_span(Side& self, const Seen& seen);

  Ledger& ledger_;
  std::map<Id, Connection> connections_;
  std::uint64_t acks_checked_ = 0;
  std::uint64_t blocks_checked_ = 0;
};

}  // namespace sluice::sim
