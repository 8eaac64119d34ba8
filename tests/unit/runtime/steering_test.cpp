#include "runtime/steering.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "tests/support/mbuf_pool.hpp"

namespace sluice::runtime {
namespace {

std::vector<std::byte> arp_frame(std::uint8_t operation) {
  std::vector<std::byte> frame(60);
  frame[12] = std::byte{0x08};
  frame[13] = std::byte{0x06};
  frame[21] = std::byte{operation};
  return frame;
}

TEST_CASE("several workers are refused on a port that cannot spread flows", "[runtime][steering]") {
  packet::PortCapabilities port;
  CHECK(steering_problem("net_tap0", port, 1).empty());
  CHECK(steering_problem("net_tap0", port, 2).find("net_tap0") != std::string::npos);
  port.rss_programmable = true;
  CHECK(steering_problem("0000:01:00.0", port, 2).empty());
}

TEST_CASE("an ARP reply is handed to every other worker, and nothing else is",
          "[runtime][steering]") {
  support::TestPools pools;
  {
    const auto reply = support::make_packet(pools.receive(), arp_frame(2));
    const auto request = support::make_packet(pools.receive(), arp_frame(1));
    const auto runt = support::make_packet(pools.receive(), std::vector<std::byte>(13));
    auto first = std::make_unique<Mailbox>();
    auto second = std::make_unique<Mailbox>();
    Exchange exchange;
    exchange.out = {nullptr, first.get(), second.get()};
    exchange.pool = &pools.control();
    rte_mbuf* const frames[] = {reply.get(), request.get(), runt.get()};
    exchange.hand_on(frames, 3);
    for (Mailbox* mailbox : {first.get(), second.get()}) {
      HandedFrame handed;
      REQUIRE(mailbox->pop(handed));
      const packet::PacketPtr copy(handed.frame);
      CHECK(handed.port == 3);
      CHECK(support::octets_of(*copy) == arp_frame(2));
      CHECK_FALSE(mailbox->pop(handed));
    }
  }
  CHECK(pools.mbufs_out() == 0);
}

}  // namespace
}  // namespace sluice::runtime
