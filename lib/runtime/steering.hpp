#pragma once

// Which worker a frame concerns: one answer per runtime, whatever port or queue it came in by.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/keyed_hash.hpp"
#include "packet/port.hpp"
#include "tcp/segment.hpp"

struct rte_mbuf;

namespace sluice::runtime {

/// What one look at a frame says.
struct Sight {
  enum class Kind : std::uint8_t {
    kAnyone,   ///< Whoever has it may take it: echo requests, ARP requests, what will be dropped.
    kSegment,  ///< A whole TCP segment: what a port that spreads flows hashes.
    kRelated,  ///< A fragment, or an ICMP error about a segment of ours: no port can see whose.
    kAll,      ///< An ARP reply: every worker's neighbour table may wait for it.
  };
  Kind kind = Kind::kAnyone;
  std::uint16_t worker = 0;  ///< Whose it is: kSegment and kRelated.
  std::uint32_t hash = 0;    ///< kSegment under Toeplitz: what a port that hashes found.
};

/// How a port's hardware spreads flows over workers.
struct ToeplitzTable {
  std::vector<std::uint8_t> key;
  std::vector<std::uint16_t> workers;  ///< By RETA entry.

  /// What a port does whose queue q belongs to worker `owners[q]`.
  static ToeplitzTable of(const packet::RssState& rss, std::span<const std::uint16_t> owners);
  /// Every flow goes to the same worker by both.
  bool agrees_with(const ToeplitzTable& other) const;
  /// It can be the runtime's hash: it is known, reaches all workers, and tells a peer's connections
  /// from each other.
  bool is_usable(const packet::RssState& rss, unsigned worker_count) const;
};

/// Immutable, shared by all workers of a runtime.
class Steering {
 public:
  /// By a keyed hash of our own: nobody outside can aim at a worker.
  Steering(const HashKey& key, unsigned workers);
  /// As a port's hardware does, so that its queues can be trusted. `key` is for what it cannot see.
  Steering(const HashKey& key, unsigned workers, ToeplitzTable table);

  bool is_toeplitz() const { return !table_.workers.empty(); }
  const ToeplitzTable& table() const { return table_; }

  /// About 150 instructions for a segment by our hash, 300 by Toeplitz.
  Sight look_at(const rte_mbuf& frame) const;
  /// Whose a flow is: what look_at() says of its segments. IPv6 has no owner yet: 0.
  std::uint16_t owner_of(const tcp::FlowKey& flow) const;
  /// Whose it is by a hash that a port computed. Precondition: is_toeplitz().
  std::uint16_t owner_of_hash(std::uint32_t hash) const {
    return table_.workers[hash % table_.workers.size()];
  }

 private:
  /// A 4-tuple as a frame to us has it.
  struct Tuple {
    Ipv4Addr source;
    Ipv4Addr destination;
    Port source_port;
    Port destination_port;
  };
  static constexpr std::size_t kToeplitzWords = 4;  ///< Key words that 12 octets of input use.

  Sight look_at_ipv4(std::span<const std::byte> packet) const;
  Sight segment(const Tuple& tuple) const;
  std::uint16_t spread(std::uint64_t hash) const {
    return static_cast<std::uint16_t>((hash >> 32) * workers_ >> 32);
  }

  HashKey key_;
  std::uint32_t workers_;
  ToeplitzTable table_;
  std::array<std::uint32_t, kToeplitzWords> toeplitz_key_{};
};

/// A whole TCP segment in an untagged frame without IP options: what nearly all frames are.
bool is_plain_segment(const rte_mbuf& frame);

/// The flows whose segments come to one worker: it opens connections among these.
class WorkerHome final : public tcp::FlowHome {
 public:
  WorkerHome(const Steering& steering, unsigned worker) : steering_(steering), worker_(worker) {}
  bool is_home(const tcp::FlowKey& flow) const override {
    return !flow.is_v4() || steering_.owner_of(flow) == worker_;
  }

 private:
  const Steering& steering_;
  unsigned worker_;
};

}  // namespace sluice::runtime
