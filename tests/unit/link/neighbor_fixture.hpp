#pragma once

#include <array>
#include <utility>
#include <vector>

#include "link/neighbor_table.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::link {

inline const MacAddr kMacA{{0x02, 0, 0, 0, 0, 0x0a}};
inline const MacAddr kMacB{{0x02, 0, 0, 0, 0, 0x0b}};

/// Writes down what the table wants done.
struct RecordingSink final : NeighborSink {
  struct Request {
    IpAddr address;
    MacAddr to;
  };
  std::vector<Request> requests;
  std::vector<std::pair<MacAddr, std::uint32_t>> sent;  ///< MAC, and the packet's first octet.
  std::vector<std::uint32_t> unreachable;

  static std::uint32_t name_of(const WaitingPacket& waiting) {
    return std::to_integer<std::uint32_t>(packet::first_segment(*waiting.packet)[0]);
  }
  void on_solicit(const NeighborRecord& neighbor, const MacAddr& to, Instant) override {
    requests.push_back({neighbor.address, to});
  }
  void on_resolved(const NeighborRecord& neighbor, WaitingPacket waiting, Instant) override {
    sent.emplace_back(neighbor.mac, name_of(waiting));
  }
  void on_unreachable(const NeighborRecord&, WaitingPacket waiting, Instant) override {
    unreachable.push_back(name_of(waiting));
  }
};

/// A table of `Capacity` entries on records of its own.
template <std::size_t Capacity = 4>
struct NeighborFixture {
  support::TestPools pools{
      support::TestPools::Sizes{.receive = 64, .control = 8, .indirect = 8, .data_room = 256}};
  std::array<NeighborRecord, Capacity> records{};
  Instant now = Instant::from_ns(1'000'000'000'123);
  RecordingSink sink;
  NeighborTable table;

  NeighborFixture() : NeighborFixture(NeighborTable::Options{}) {}
  explicit NeighborFixture(const NeighborTable::Options& options)
      : table(records, options, HashKey{}, now) {}

  static NeighborKey key(unsigned host) {
    return {0, Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(host))};
  }
  WaitingPacket packet(unsigned name) {
    const std::byte octets[] = {static_cast<std::byte>(name)};
    return {support::make_packet(pools.receive(), octets), 0};
  }
  /// resolve() of a packet that is freed if it is not queued.
  NeighborTable::Answer resolve(unsigned host, unsigned name = 0) {
    WaitingPacket waiting = packet(name);
    const auto answer = table.resolve(key(host), waiting, sink, now);
    CHECK((answer.resolution == Resolution::kQueued) == !waiting.packet);
    return answer;
  }
  NeighborState state_of(unsigned host) {
    const NeighborRecord* record = table.find(key(host));
    return record == nullptr ? NeighborState::kFree : record->state;
  }
  /// Lets time pass, waking the table exactly when it asks for it.
  void pass(Duration time) {
    const Instant end = now + time;
    while (table.next_deadline() <= end) {
      now = std::max(now, table.next_deadline());
      table.advance(now, sink);
    }
    now = end;
    table.advance(now, sink);
  }
};

}  // namespace sluice::link
