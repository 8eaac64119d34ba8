#pragma once

// A link under test: a sender on side 0, and a receiver on side 1 that polls when frames arrive.

#include <rte_mbuf.h>

#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "drivers/sim/sim_link.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

inline const Instant kBegin = Instant::from_ns(1'000'000'000);

/// When a frame came, and as what.
struct Arrival {
  Instant when;
  support::Octets octets;
  bool operator==(const Arrival&) const = default;
};

struct Wire final : drivers::SimActor {
  explicit Wire(const drivers::LinkOptions& options, std::uint64_t seed = 1,
                const drivers::SimPortOptions& port = {}, drivers::LinkFilter* filter = nullptr)
      : clock(kBegin) {
    drivers::SimLink::Options all;
    all.directions[0] = options;
    all.seed = seed;
    all.filter = filter;
    all.ports[0] = all.ports[1] = port;
    for (auto& each : all.ports) each.receive_pool = &pools.receive();
    link.emplace(clock, all);
    link->port(1).wake_on_arrival(*this, 0);
  }

  void on_event(std::uint64_t, Instant now) override {
    std::array<rte_mbuf*, 8> burst;
    while (const std::uint16_t count = link->port(1).rx_burst(burst, now))
      for (std::uint16_t i = 0; i < count; ++i) {
        const packet::PacketPtr packet(burst[i]);
        arrivals.push_back({now, support::octets_of(*packet)});
      }
  }

  /// Gives port 0 one frame. False if it did not take it.
  bool send(const support::Octets& octets) {
    packet::PacketPtr packet = support::make_packet(pools.receive(), octets);
    rte_mbuf* frames[] = {packet.get()};
    if (link->port(0).tx_burst(frames, clock.now()) == 0) return false;
    static_cast<void>(packet.release());
    return true;
  }
  void send_many(std::size_t count, std::size_t size) {
    for (std::size_t i = 0; i < count; ++i) REQUIRE(send(support::pattern(size, i)));
  }
  void run() {
    while (clock.step()) {
    }
  }

  support::TestPools pools;
  drivers::SimClock clock;
  std::optional<drivers::SimLink> link;
  std::vector<Arrival> arrivals;
};

}  // namespace sluice::sim
