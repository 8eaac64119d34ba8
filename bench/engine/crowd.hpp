#pragma once

// Clients by the million that only fill in a template: nine octets of state each, so that what a
// connection costs is the server's.

#include <rte_mbuf.h>

#include <cstdint>
#include <span>
#include <vector>

#include "bench/engine/template_peer.hpp"

namespace sluice::bench {

/// What came back for a burst.
struct Answers {
  std::uint64_t segments = 0;
  std::uint64_t payload = 0;  ///< Octets.
  std::uint32_t resets = 0;
};

/// Clients 0 to N - 1, each with a connection of its own to one port of the server: addresses from
/// 100.64.0.0 on, kPortsEach ports of each. They speak timestamps, as nearly everybody does.
class Crowd {
 public:
  static constexpr std::uint32_t kPortsEach = 50'000;

  Crowd(rte_mempool& pool, Port server_port, std::uint32_t size);

  std::uint32_t size() const { return static_cast<std::uint32_t>(clients_.size()); }
  /// Octets of memory that are the clients'.
  std::size_t octets() const { return clients_.size() * sizeof(Client); }

  /// The next segment of client `index`, its sequence number moved on; its checksums are marked as
  /// verified by hardware. A SYN begins a connection anew, with a later ISN and timestamp.
  rte_mbuf* segment(std::uint32_t index, std::uint8_t flags, std::uint32_t payload);
  /// Takes the server's frames (freeing them) as far as the clients' numbers go.
  Answers absorb(std::vector<rte_mbuf*>& frames);
  /// Calls each(index, flags) for each frame, before absorb().
  template <class Each>
  void look_at(std::span<rte_mbuf* const> frames, Each&& each) const {
    for (const rte_mbuf* const frame : frames) each(client_of(*frame), flags_of(*frame));
  }

 private:
  struct Client {
    std::uint32_t seq = 0;
    std::uint32_t ack = 0;
    std::uint32_t ts_ecr = 0;
  };
  static std::uint32_t client_of(const rte_mbuf& frame);
  static std::uint8_t flags_of(const rte_mbuf& frame);

  rte_mempool& pool_;
  std::vector<std::byte> syn_;  ///< Headers as make_frame() builds them.
  std::vector<std::byte> rest_;
  std::uint32_t ts_val_ = 1;
  std::vector<Client> clients_;
};

}  // namespace sluice::bench
