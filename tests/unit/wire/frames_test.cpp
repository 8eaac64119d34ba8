// The tests' own frame builder: what it builds is what it reads back, right or wrong as asked.

#include <catch2/catch.hpp>

#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

using namespace sluice;
using namespace sluice::support;

TEST_CASE("a built TCP frame is read back with right checksums", "[wire][support]") {
  TcpFrame frame;
  frame.ethernet.has_vlan = true;
  frame.ethernet.vlan_tci = 5;
  frame.tcp.source = Port{1};
  frame.tcp.flags = wire::kSyn;
  frame.tcp.options.has_mss = true;
  frame.tcp.options.mss = 1'460;
  frame.payload = pattern(33);
  frame.padding = 4;
  const auto parsed = parse_frame(build(frame));
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->ethernet.vlan_id() == 5);
  REQUIRE(parsed->ip->total_length == 20 + 24 + 33);
  REQUIRE(parsed->is_ip_checksum_right);
  REQUIRE(parsed->tcp->has(wire::kSyn));
  REQUIRE(parsed->tcp->options.mss == 1'460);
  REQUIRE(parsed->is_payload_checksum_right);
  REQUIRE(parsed->payload == pattern(33));
}

TEST_CASE("checksums are wrong where a test wants them wrong", "[wire][support]") {
  TcpFrame frame;
  frame.payload = pattern(3);
  frame.tcp_checksum = ChecksumField::kWrong;
  REQUIRE_FALSE(parse_frame(build(frame))->is_payload_checksum_right);
  REQUIRE(parse_frame(build(frame))->is_ip_checksum_right);
  frame.ip_checksum = ChecksumField::kZero;
  REQUIRE_FALSE(parse_frame(build(frame))->is_ip_checksum_right);
}

TEST_CASE("ICMP and ARP frames are read back", "[wire][support]") {
  IcmpFrame echo;
  echo.icmp = {.type = wire::icmp_type::kEchoRequest, .rest = 0x00010002};
  echo.data = pattern(56);
  const auto parsed = parse_frame(build(echo));
  REQUIRE(parsed->icmp->echo_sequence() == 2);
  REQUIRE(parsed->is_payload_checksum_right);
  REQUIRE(parsed->payload == pattern(56));

  ArpFrame arp;
  arp.ethernet.destination = MacAddr::broadcast();
  arp.arp.target_ip = Ipv4Addr::from_octets(10, 0, 0, 2);
  const Octets octets = build(arp);
  REQUIRE(octets.size() == wire::kEthernetMinFrame);
  REQUIRE(parse_frame(octets)->arp == arp.arp);
}

TEST_CASE("a frame without a whole header is not read back", "[wire][support]") {
  Octets octets = build(TcpFrame{});
  octets.resize(octets.size() - 1);
  REQUIRE_FALSE(parse_frame(octets).has_value());
}
