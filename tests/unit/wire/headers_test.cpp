// Ethernet, ARP, IPv4 and ICMP headers: every refusal, every field, and there and back again.

#include <catch2/catch.hpp>
#include <memory>

#include "base/rng.hpp"
#include "tests/support/packet_builder.hpp"
#include "wire/checksum.hpp"

using namespace sluice;
using namespace sluice::wire;
using support::octets;
using support::Octets;

namespace {

constexpr MacAddr kMacA{{0x02, 0, 0, 0, 0, 0x0a}};
constexpr MacAddr kMacB{{0x02, 0, 0, 0, 0, 0x0b}};

/// Parses a copy that ends with its heap block, so that ASan sees an over-read.
template <class Parser>
auto parse_exact(Parser parser, std::span<const std::byte> octets) {
  const auto block = std::make_unique<std::byte[]>(octets.size());
  std::copy(octets.begin(), octets.end(), block.get());
  return parser(std::span<const std::byte>(block.get(), octets.size()));
}

constexpr auto parse_whole_ipv4 = [](std::span<const std::byte> packet) {
  return parse_ipv4(packet);
};

Octets ipv4_packet(const Octets& options = {}, std::size_t payload = 8) {
  support::Ipv4Frame frame;
  frame.ip_options = options;
  return support::ip_packet_of(support::build_ipv4(frame, ip_protocol::kTcp, Octets(payload)));
}

Ipv4Options options_of(const Octets& options) {
  const auto header = parse_exact(parse_whole_ipv4, ipv4_packet(options));
  REQUIRE(header.has_value());
  REQUIRE(header->header_length == kIpv4MinHeader + options.size());
  return header->options;
}

}  // namespace

TEST_CASE("an Ethernet header is read with and without a VLAN tag", "[wire][ethernet]") {
  const auto plain = parse_exact(
      parse_ethernet, octets({2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b, 0x08, 0x06, 0xff}));
  REQUIRE(plain.has_value());
  REQUIRE(*plain ==
          EthernetHeader{.destination = kMacA, .source = kMacB, .ether_type = ether_type::kArp});
  REQUIRE(plain->length() == 14);

  const auto tagged = parse_exact(parse_ethernet, octets({2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b,
                                                          0x81, 0x00, 0x6f, 0xff, 0x08, 0x00}));
  REQUIRE(tagged.has_value());
  REQUIRE(tagged->has_vlan);
  REQUIRE(tagged->vlan_id() == 0xfff);
  REQUIRE(tagged->ether_type == ether_type::kIpv4);
  REQUIRE(tagged->length() == 18);
}

TEST_CASE("a frame shorter than its header or its tag is truncated", "[wire][ethernet]") {
  Octets frame(18);
  frame[12] = std::byte{0x81};
  for (std::size_t length = 0; length < 18; ++length) {
    const auto parsed = parse_exact(parse_ethernet, std::span(frame).first(length));
    REQUIRE_FALSE(parsed.has_value());
    REQUIRE(parsed.error() == EthernetParseError::kTruncated);
  }
  REQUIRE(parse_exact(parse_ethernet, frame).has_value());
}

TEST_CASE("a second VLAN tag is left to nobody", "[wire][ethernet]") {
  Octets frame(64);
  frame[12] = frame[16] = std::byte{0x81};
  REQUIRE(parse_exact(parse_ethernet, frame)->ether_type == ether_type::kVlan);
}

TEST_CASE("an emitted Ethernet header is parsed back", "[wire][ethernet]") {
  EthernetHeader header{.destination = kMacA, .source = kMacB, .ether_type = 0x88b5, .vlan_tci = 0};
  Octets out(kEthernetMaxHeader);
  REQUIRE(emit_ethernet(header, out) == 14);
  REQUIRE(*parse_ethernet(out) == header);
  header.has_vlan = true;
  header.vlan_tci = 0xa123;
  REQUIRE(emit_ethernet(header, out) == 18);
  REQUIRE(*parse_ethernet(out) == header);
}

TEST_CASE("an ARP packet has the layout of RFC 826", "[wire][arp][rfc826]") {
  const ArpPacket request{.operation = ArpOperation::kRequest,
                          .sender_mac = kMacA,
                          .sender_ip = Ipv4Addr::from_octets(10, 0, 0, 1),
                          .target_ip = Ipv4Addr::from_octets(10, 0, 0, 2)};
  Octets out(kArpPacket);
  REQUIRE(emit_arp(request, out) == 28);
  REQUIRE(out == octets({0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 0x0a,
                         10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2}));
  REQUIRE(*parse_exact(parse_arp, out) == request);
  out.resize(46);  // padding of a short frame
  REQUIRE(*parse_exact(parse_arp, out) == request);
}

TEST_CASE("an ARP packet of another kind is refused by reason", "[wire][arp][rfc826]") {
  Octets packet(kArpPacket);
  emit_arp(ArpPacket{.operation = ArpOperation::kReply}, packet);
  for (std::size_t length = 0; length < kArpPacket; ++length)
    REQUIRE(parse_exact(parse_arp, std::span(packet).first(length)).error() ==
            ArpParseError::kTruncated);
  const auto error_with = [&](std::size_t at, unsigned value) {
    Octets changed = packet;
    changed[at] = static_cast<std::byte>(value);
    return parse_exact(parse_arp, changed).error();
  };
  REQUIRE(error_with(1, 6) == ArpParseError::kHardware);
  REQUIRE(error_with(0, 1) == ArpParseError::kHardware);
  REQUIRE(error_with(4, 8) == ArpParseError::kHardware);
  REQUIRE(error_with(2, 0x86) == ArpParseError::kProtocol);
  REQUIRE(error_with(5, 16) == ArpParseError::kProtocol);
  REQUIRE(error_with(7, 0) == ArpParseError::kOperation);
  REQUIRE(error_with(7, 3) == ArpParseError::kOperation);
  REQUIRE(error_with(6, 1) == ArpParseError::kOperation);
}

TEST_CASE("an IPv4 header's fields are where RFC 791 draws them", "[wire][ipv4][rfc791]") {
  const Octets packet = octets({0x45, 0xb9, 0, 24, 0xab, 0xcd, 0x60, 0x03, 63, 17, 0x12, 0x34, 10,
                                0,    0,    1, 10, 0,    0,    2,    1,    2,  3,  4,    0xff});
  const auto header = parse_exact(parse_whole_ipv4, packet);
  REQUIRE(header.has_value());
  REQUIRE(header->traffic_class == 0xb9);
  REQUIRE(header->total_length == 24);
  REQUIRE(header->payload_length() == 4);
  REQUIRE(header->identification == 0xabcd);
  REQUIRE(header->dont_fragment);
  REQUIRE(header->more_fragments);
  REQUIRE(header->fragment_offset == 24);
  REQUIRE(header->ttl == 63);
  REQUIRE(header->protocol == ip_protocol::kUdp);
  REQUIRE(header->checksum == 0x1234);
  REQUIRE(header->source == Ipv4Addr::from_octets(10, 0, 0, 1));
  REQUIRE(header->destination == Ipv4Addr::from_octets(10, 0, 0, 2));
  REQUIRE(header->options == Ipv4Options::kNone);
}

TEST_CASE("an IPv4 packet that contradicts itself is refused by reason", "[wire][ipv4][rfc1122]") {
  const Octets packet = ipv4_packet();
  const auto error_of = [](const Octets& octets) {
    return parse_exact(parse_whole_ipv4, octets).error();
  };
  for (std::size_t length = 0; length < packet.size(); ++length)
    REQUIRE(error_of(Octets(packet.begin(), packet.begin() + static_cast<long>(length))) ==
            Ipv4ParseError::kTruncated);
  Octets changed = packet;
  for (const unsigned version : {0u, 5u, 6u, 15u}) {
    changed[0] = static_cast<std::byte>(version << 4 | 5);
    REQUIRE(error_of(changed) == Ipv4ParseError::kVersion);
  }
  for (unsigned ihl = 0; ihl < 5; ++ihl) {
    changed[0] = static_cast<std::byte>(0x40 | ihl);
    REQUIRE(error_of(changed) == Ipv4ParseError::kHeaderLength);
  }
  changed[0] = std::byte{0x48};  // a header longer than the packet
  REQUIRE(error_of(changed) == Ipv4ParseError::kHeaderLength);
  changed = packet;
  changed[0] = std::byte{0x46};
  changed[3] = std::byte{23};  // total length within the header
  REQUIRE(error_of(changed) == Ipv4ParseError::kHeaderLength);
}

TEST_CASE("an IPv4 packet in several buffers is measured by its whole length", "[wire][ipv4]") {
  const Octets packet = ipv4_packet({}, 100);
  const auto front = std::span(packet).first(kIpv4MinHeader + 10);
  REQUIRE(parse_exact(parse_whole_ipv4, front).error() == Ipv4ParseError::kTruncated);
  REQUIRE(parse_ipv4(front, packet.size())->total_length == packet.size());
  REQUIRE(parse_ipv4(front, packet.size() - 1).error() == Ipv4ParseError::kTruncated);
}

TEST_CASE("fragments are told by either sign", "[wire][ipv4][rfc791]") {
  Octets packet = ipv4_packet();
  const auto is_fragment = [&](unsigned high, unsigned low) {
    packet[6] = static_cast<std::byte>(high);
    packet[7] = static_cast<std::byte>(low);
    return parse_exact(parse_whole_ipv4, packet)->is_fragment();
  };
  REQUIRE_FALSE(is_fragment(0x00, 0));
  REQUIRE_FALSE(is_fragment(0x40, 0));
  REQUIRE(is_fragment(0x20, 0));
  REQUIRE(is_fragment(0x00, 1));
  REQUIRE(is_fragment(0x1f, 0xff));
  REQUIRE(parse_exact(parse_whole_ipv4, packet)->fragment_offset == 65'528);
}

TEST_CASE("IPv4 options are walked for source routes and for impossible lengths",
          "[wire][ipv4][options][rfc791]") {
  REQUIRE(options_of({}) == Ipv4Options::kNone);
  REQUIRE(options_of(octets({1, 1, 1, 0})) == Ipv4Options::kHarmless);
  REQUIRE(options_of(octets({7, 7, 4, 0, 0, 0, 0, 0})) == Ipv4Options::kHarmless);
  REQUIRE(options_of(octets({148, 4, 0, 0})) == Ipv4Options::kHarmless);  // router alert
  REQUIRE(options_of(octets({131, 7, 4, 10, 0, 0, 9, 0})) == Ipv4Options::kSourceRoute);
  REQUIRE(options_of(octets({1, 137, 7, 4, 10, 0, 0, 9})) == Ipv4Options::kSourceRoute);
  REQUIRE(options_of(octets({0, 131, 7, 4})) == Ipv4Options::kHarmless);  // behind the end
  REQUIRE(options_of(octets({7, 0, 0, 0})) == Ipv4Options::kMalformed);
  REQUIRE(options_of(octets({7, 1, 0, 0})) == Ipv4Options::kMalformed);
  REQUIRE(options_of(octets({7, 5, 4, 0})) == Ipv4Options::kMalformed);
  REQUIRE(options_of(octets({1, 1, 1, 7})) == Ipv4Options::kMalformed);
  REQUIRE(options_of(octets({131, 9, 4, 0, 0, 0, 0, 0})) == Ipv4Options::kMalformed);
  REQUIRE(options_of(Octets(40, std::byte{1})) == Ipv4Options::kHarmless);
}

TEST_CASE("an emitted IPv4 header is parsed back and its checksum is right", "[wire][ipv4]") {
  Rng rng(41);
  for (int round = 0; round < 500; ++round) {
    Ipv4Header header;
    header.source.value = static_cast<std::uint32_t>(rng.next());
    header.destination.value = static_cast<std::uint32_t>(rng.next());
    header.total_length = static_cast<std::uint16_t>(20 + rng.below(1'480));
    header.identification = static_cast<std::uint16_t>(rng.next());
    header.fragment_offset = static_cast<std::uint16_t>(rng.below(8'192) * 8);
    header.protocol = static_cast<std::uint8_t>(rng.next());
    header.ttl = static_cast<std::uint8_t>(rng.next());
    header.traffic_class = static_cast<std::uint8_t>(rng.next());
    header.dont_fragment = rng.chance(1, 2);
    header.more_fragments = rng.chance(1, 2);
    Octets packet(header.total_length);
    REQUIRE(emit_ipv4(header, packet) == kIpv4MinHeader);
    const auto front = std::span(packet).first(kIpv4MinHeader);
    REQUIRE(*parse_exact(parse_whole_ipv4, packet) == header);
    set_ipv4_checksum(front);
    REQUIRE(is_ipv4_checksum_right(front));
    packet[8] ^= std::byte{0x40};
    REQUIRE_FALSE(is_ipv4_checksum_right(front));
  }
}

TEST_CASE("an ICMP header is read and its second word means what its type says",
          "[wire][icmp][rfc792]") {
  const auto message = octets({8, 0, 0x12, 0x34, 0xab, 0xcd, 0x00, 0x07});
  const auto echo = parse_exact(parse_icmp, message);
  REQUIRE(echo.has_value());
  REQUIRE(echo->type == icmp_type::kEchoRequest);
  REQUIRE(echo->checksum == 0x1234);
  REQUIRE(echo->echo_identifier() == 0xabcd);
  REQUIRE(echo->echo_sequence() == 7);
  REQUIRE_FALSE(echo->is_error());
  const IcmpHeader reply = IcmpHeader::echo_reply_to(*echo);
  REQUIRE(reply.type == icmp_type::kEchoReply);
  REQUIRE(reply.rest == echo->rest);

  const auto too_big = parse_exact(parse_icmp, octets({3, 4, 0, 0, 0, 0, 0x05, 0x78}));
  REQUIRE(too_big->code == icmp_unreachable::kFragmentationNeeded);
  REQUIRE(too_big->next_hop_mtu() == 1'400);
  REQUIRE(too_big->is_error());
  for (std::size_t length = 0; length < kIcmpHeader; ++length)
    REQUIRE(parse_exact(parse_icmp, std::span(message).first(length)).error() ==
            IcmpParseError::kTruncated);
}

TEST_CASE("the ICMP types that tell of errors are those of RFC 1122", "[wire][icmp][rfc1122]") {
  for (unsigned type = 0; type < 256; ++type) {
    const bool is_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    REQUIRE(IcmpHeader{.type = static_cast<std::uint8_t>(type)}.is_error() == is_error);
  }
}

TEST_CASE("an emitted ICMP message is parsed back and its checksum is right", "[wire][icmp]") {
  for (const std::size_t length : {8u, 9u, 64u, 1'479u}) {
    Octets message(length, std::byte{0x5a});
    const IcmpHeader header{.type = 11, .code = 1, .rest = 0x01020304};
    REQUIRE(emit_icmp(header, message) == kIcmpHeader);
    REQUIRE(*parse_exact(parse_icmp, message) == header);
    set_icmp_checksum(message);
    REQUIRE(checksum(message) == 0);
  }
}

TEST_CASE("the packet that an ICMP error quotes gives its addresses, ports and number",
          "[wire][icmp][rfc792]") {
  support::TcpFrame frame;
  frame.tcp.source = Port{49'152};
  frame.tcp.destination = Port{80};
  frame.tcp.seq = SeqNum(0xfffffff0);
  const auto options = GENERATE(Octets{}, Octets(40, std::byte{1}));
  frame.ip_options = options;
  Octets quote = support::ip_packet_of(support::build(frame));
  quote.resize(kIpv4MinHeader + options.size() + kIcmpQuotedPayload);  // the least of RFC 792
  const auto quoted = parse_exact(parse_icmp_quoted, quote);
  REQUIRE(quoted.has_value());
  REQUIRE(*quoted == IcmpQuoted{.source = frame.ip.source,
                                .destination = frame.ip.destination,
                                .protocol = ip_protocol::kTcp,
                                .source_port = Port{49'152},
                                .destination_port = Port{80},
                                .seq = SeqNum(0xfffffff0)});
  for (std::size_t length = 0; length < quote.size(); ++length)
    REQUIRE(parse_exact(parse_icmp_quoted, std::span(quote).first(length)).error() ==
            IcmpQuotedError::kTruncated);
  quote[0] = std::byte{0x65};
  REQUIRE(parse_exact(parse_icmp_quoted, quote).error() == IcmpQuotedError::kMalformed);
  quote[0] = std::byte{0x44};
  REQUIRE(parse_exact(parse_icmp_quoted, quote).error() == IcmpQuotedError::kMalformed);
}

TEST_CASE("a quoted fragment says that its ports mean nothing", "[wire][icmp]") {
  Octets quote = support::ip_packet_of(support::build(support::TcpFrame{}));
  quote[7] = std::byte{2};
  REQUIRE(parse_exact(parse_icmp_quoted, quote)->fragment_offset == 16);
}
