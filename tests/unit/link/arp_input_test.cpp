#include "link/arp_input.hpp"

#include <catch2/catch.hpp>
#include <optional>

#include "tests/unit/link/neighbor_fixture.hpp"

namespace {

using namespace sluice;
using namespace sluice::link;
using telemetry::Outcome;
using wire::ArpOperation;

const MacAddr kOurMac{{0x02, 0, 0, 0, 0, 0x02}};

Ipv4Addr host(unsigned number) {
  return Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(number));
}

struct ArpFixture : NeighborFixture<4> {
  Prefix addresses[2] = {{host(2), 24}, {Ipv4Addr::from_octets(192, 0, 2, 9), 28}};
  MacAddr macs[2] = {kOurMac, MacAddr{{0x02, 0, 0, 0, 0, 0x03}}};
  std::optional<wire::ArpPacket> reply;

  Outcome hear(const wire::ArpPacket& packet) {
    return on_arp(packet, {0, macs[0], macs, addresses}, table, sink, now, reply);
  }
};

wire::ArpPacket request(Ipv4Addr sender, Ipv4Addr target) {
  return {ArpOperation::kRequest, kMacA, sender, {}, target};
}
wire::ArpPacket reply_from(Ipv4Addr sender) {
  return {ArpOperation::kReply, kMacA, sender, kOurMac, host(2)};
}

TEST_CASE("a request for any address of the interface is answered and its sender learnt",
          "[link][arp][rfc826]") {
  ArpFixture fixture;
  CHECK(fixture.hear(request(host(1), host(2))) == Outcome::kArpRequestAnswered);
  CHECK(fixture.reply == wire::ArpPacket{ArpOperation::kReply, kOurMac, host(2), kMacA, host(1)});
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);

  CHECK(fixture.hear(request(Ipv4Addr::from_octets(192, 0, 2, 1),
                             fixture.addresses[1].address.v4())) == Outcome::kArpRequestAnswered);
  REQUIRE(fixture.reply);
  CHECK(fixture.reply->sender_ip == fixture.addresses[1].address.v4());
  CHECK(fixture.table.size() == 2);
}

TEST_CASE("a request for another host teaches nothing, not even about a known sender",
          "[link][arp]") {
  ArpFixture fixture;
  fixture.hear(request(host(1), host(2)));
  auto other = request(host(1), host(3));
  CHECK(fixture.hear(other) == Outcome::kArpRequestOther);
  other.sender_mac = kMacB;
  CHECK(fixture.hear(other) == Outcome::kArpOtherMac);
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);
  CHECK(fixture.hear(request(host(5), host(3))) == Outcome::kArpRequestOther);
  CHECK(fixture.table.size() == 1);
}

TEST_CASE("a gratuitous request or reply changes nothing", "[link][arp]") {
  ArpFixture fixture;
  CHECK(fixture.hear(request(host(1), host(1))) == Outcome::kArpRequestOther);
  CHECK(fixture.hear(reply_from(host(1))) == Outcome::kArpReplyUnsolicited);
  auto announcement = reply_from(host(1));
  announcement.target_ip = host(1);
  CHECK(fixture.hear(announcement) == Outcome::kArpReplyUnsolicited);
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("a reply to our request is learnt once", "[link][arp]") {
  ArpFixture fixture;
  fixture.resolve(1, 11);
  auto elsewhere = reply_from(host(1));
  elsewhere.target_ip = host(77);
  CHECK(fixture.hear(elsewhere) == Outcome::kArpReplyUnsolicited);
  CHECK(fixture.hear(reply_from(host(1))) == Outcome::kArpReplyLearnt);
  auto second = reply_from(host(1));
  CHECK(fixture.hear(second) == Outcome::kArpReplyUnsolicited);
  second.sender_mac = kMacB;
  CHECK(fixture.hear(second) == Outcome::kArpOtherMac);
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);
  CHECK(fixture.sink.sent.size() == 1);
}

TEST_CASE("a probe for our address is answered without learning its sender",
          "[link][arp][rfc5227]") {
  ArpFixture fixture;
  CHECK(fixture.hear(request(Ipv4Addr{}, host(2))) == Outcome::kArpRequestAnswered);
  REQUIRE(fixture.reply);
  CHECK(fixture.reply->target_ip == Ipv4Addr{});
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("a host that asks from another MAC than the known one is answered, and teaches nothing",
          "[link][arp]") {
  ArpFixture fixture;
  fixture.hear(request(host(1), host(2)));
  auto other = request(host(1), host(2));
  other.sender_mac = kMacB;
  CHECK(fixture.hear(other) == Outcome::kArpOtherMac);
  CHECK(fixture.reply == wire::ArpPacket{ArpOperation::kReply, kOurMac, host(2), kMacB, host(1)});
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);
  // To a claim that asks nothing of us there is no answer.
  other.target_ip = host(1);
  CHECK(fixture.hear(other) == Outcome::kArpOtherMac);
  CHECK_FALSE(fixture.reply);
  other = reply_from(host(1));
  other.sender_mac = kMacB;
  CHECK(fixture.hear(other) == Outcome::kArpOtherMac);
  CHECK_FALSE(fixture.reply);
}

TEST_CASE("a sender outside our subnets is answered, not learnt", "[link][arp]") {
  ArpFixture fixture;
  CHECK(fixture.hear(request(Ipv4Addr::from_octets(203, 0, 113, 1), host(2))) ==
        Outcome::kArpRequestAnswered);
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("another host that claims our address is a conflict", "[link][arp][rfc5227]") {
  ArpFixture fixture;
  CHECK(fixture.hear(request(host(2), host(2))) == Outcome::kArpConflict);
  CHECK(fixture.hear(request(host(2), host(9))) == Outcome::kArpConflict);
  CHECK(fixture.hear(reply_from(fixture.addresses[1].address.v4())) == Outcome::kArpConflict);
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("what another port of ours asks is no conflict", "[link][arp]") {
  ArpFixture fixture;
  auto own = request(host(2), host(1));
  own.sender_mac = fixture.macs[1];
  CHECK(fixture.hear(own) == Outcome::kArpSpoofed);
  own.sender_mac = kMacA;
  CHECK(fixture.hear(own) == Outcome::kArpConflict);
}

TEST_CASE("senders that cannot be are refused", "[link][arp]") {
  ArpFixture fixture;
  for (const Ipv4Addr sender :
       {Ipv4Addr::from_octets(127, 0, 0, 1), Ipv4Addr::from_octets(224, 0, 0, 1),
        Ipv4Addr::from_octets(240, 0, 0, 1), Ipv4Addr{0xffffffff},
        Ipv4Addr::from_octets(0, 0, 0, 7), host(255), Ipv4Addr::from_octets(192, 0, 2, 15)})
    CHECK(fixture.hear(request(sender, host(2))) == Outcome::kArpSpoofed);
  CHECK(fixture.hear(reply_from(Ipv4Addr{})) == Outcome::kArpSpoofed);
  for (const MacAddr& mac : {MacAddr{}, MacAddr::broadcast(), kOurMac}) {
    auto packet = request(host(1), host(2));
    packet.sender_mac = mac;
    CHECK(fixture.hear(packet) == Outcome::kArpSpoofed);
  }
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("ARP against a static entry is refused and unanswered", "[link][arp]") {
  ArpFixture fixture;
  REQUIRE(fixture.table.add_static(fixture.key(1), kMacB, fixture.sink, fixture.now));
  CHECK(fixture.hear(request(host(1), host(2))) == Outcome::kArpPinned);
  CHECK(fixture.hear(reply_from(host(1))) == Outcome::kArpPinned);
  CHECK(fixture.hear(request(host(1), host(1))) == Outcome::kArpPinned);
  CHECK_FALSE(fixture.reply);
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacB);
  auto honest = request(host(1), host(2));
  honest.sender_mac = kMacB;
  CHECK(fixture.hear(honest) == Outcome::kArpRequestAnswered);
}

TEST_CASE("a request to us is answered even when the table has no room", "[link][arp]") {
  ArpFixture fixture;
  for (unsigned number = 11; number <= 14; ++number)
    fixture.table.add_static(fixture.key(number), kMacB, fixture.sink, fixture.now);
  CHECK(fixture.hear(request(host(1), host(2))) == Outcome::kArpRequestAnswered);
  CHECK(fixture.table.find(fixture.key(1)) == nullptr);
}

}  // namespace
