#include "link/ethernet_input.hpp"

#include <catch2/catch.hpp>

#include "tests/support/packet_builder.hpp"

namespace {

using namespace sluice;
using link::classify_frame;
using support::Octets;
using telemetry::Outcome;

const MacAddr kOurs{{0x02, 0, 0, 0, 0, 0x02}};
const MacAddr kPeer{{0x02, 0, 0, 0, 0, 0x01}};

Octets frame_of(const wire::EthernetHeader& header) {
  Octets frame(60);
  wire::emit_ethernet(header, frame);
  return frame;
}

wire::EthernetHeader header_of_type(std::uint16_t type) {
  return {.destination = kOurs, .source = kPeer, .ether_type = type};
}

TEST_CASE("a frame to our MAC is classified by its EtherType", "[link][ethernet]") {
  const auto ip = classify_frame(frame_of(header_of_type(wire::ether_type::kIpv4)), kOurs);
  REQUIRE(ip);
  CHECK(ip->protocol == link::NetworkProtocol::kIpv4);
  CHECK(ip->delivery == link::Delivery::kUnicast);
  CHECK(ip->header_length == 14);
  CHECK(ip->source == kPeer);
  const auto arp = classify_frame(frame_of(header_of_type(wire::ether_type::kArp)), kOurs);
  REQUIRE(arp);
  CHECK(arp->protocol == link::NetworkProtocol::kArp);
  CHECK(classify_frame(frame_of(header_of_type(wire::ether_type::kIpv6)), kOurs).error() ==
        Outcome::kIpv6Unsupported);
  CHECK(classify_frame(frame_of(header_of_type(0x88cc)), kOurs).error() ==
        Outcome::kEthUnknownType);
  // An 802.3 length instead of a type.
  CHECK(classify_frame(frame_of(header_of_type(46)), kOurs).error() == Outcome::kEthUnknownType);
}

TEST_CASE("broadcast is received and said, multicast and others' frames are refused",
          "[link][ethernet]") {
  auto header = header_of_type(wire::ether_type::kIpv4);
  header.destination = MacAddr::broadcast();
  const auto broadcast = classify_frame(frame_of(header), kOurs);
  REQUIRE(broadcast);
  CHECK(broadcast->delivery == link::Delivery::kBroadcast);
  header.destination = MacAddr{{0x01, 0x00, 0x5e, 0, 0, 1}};
  CHECK(classify_frame(frame_of(header), kOurs).error() == Outcome::kEthMulticast);
  header.destination = MacAddr{{0x02, 0, 0, 0, 0, 0x77}};
  CHECK(classify_frame(frame_of(header), kOurs).error() == Outcome::kEthNotForUs);
}

TEST_CASE("a source MAC that is a group, zero or our own is refused", "[link][ethernet]") {
  auto header = header_of_type(wire::ether_type::kArp);
  for (const MacAddr& source :
       {MacAddr::broadcast(), MacAddr{{0x01, 0, 0x5e, 0, 0, 1}}, MacAddr{}, kOurs}) {
    header.source = source;
    CHECK(classify_frame(frame_of(header), kOurs).error() == Outcome::kEthSourceInvalid);
  }
}

TEST_CASE("a priority tag is taken off, any VLAN is refused", "[link][ethernet]") {
  auto header = header_of_type(wire::ether_type::kIpv4);
  header.has_vlan = true;
  header.vlan_tci = 0xe000;
  const auto tagged = classify_frame(frame_of(header), kOurs);
  REQUIRE(tagged);
  CHECK(tagged->header_length == 18);
  header.vlan_tci = 0xe007;
  CHECK(classify_frame(frame_of(header), kOurs).error() == Outcome::kVlanUnknown);
  header.vlan_tci = 0;
  header.ether_type = wire::ether_type::kVlan;  // A second tag.
  CHECK(classify_frame(frame_of(header), kOurs).error() == Outcome::kVlanUnknown);
}

TEST_CASE("every cut of a frame below its header is truncated", "[link][ethernet]") {
  auto header = header_of_type(wire::ether_type::kIpv4);
  header.has_vlan = true;
  const Octets whole = frame_of(header);
  for (std::size_t length = 0; length < wire::kEthernetMaxHeader; ++length) {
    const Octets cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(classify_frame(cut, kOurs).error() == Outcome::kEthTruncated);
  }
}

}  // namespace
