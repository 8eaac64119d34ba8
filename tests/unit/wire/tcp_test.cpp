#include "wire/tcp.hpp"

#include <catch2/catch.hpp>

#include "base/rng.hpp"
#include "tests/support/packet_builder.hpp"

using namespace sluice;
using namespace sluice::wire;
using support::octets;
using support::Octets;

namespace {

/// A header with `options` as they stand, filled up to whole words with EOL.
Octets header_with(const Octets& options) {
  TcpHeader plain;
  plain.source = Port{1000};
  plain.destination = Port{80};
  Octets header(kTcpMinHeader);
  emit_tcp(plain, header);
  header.insert(header.end(), options.begin(), options.end());
  while (header.size() % 4 != 0) header.push_back(std::byte{0});
  header[12] = static_cast<std::byte>(header.size() / 4 << 4);
  return header;
}

struct Parsed {
  TcpParseResult result;
  TcpHeader header;
};

/// Parses a copy that ends with its heap block, so that ASan sees an over-read.
Parsed parse(const Octets& segment) {
  const auto block = std::make_unique<std::byte[]>(segment.size());
  std::copy(segment.begin(), segment.end(), block.get());
  Parsed parsed;
  parsed.result = parse_tcp({block.get(), segment.size()}, parsed.header);
  return parsed;
}

TcpOptions options_of(const Octets& options) {
  const Parsed parsed = parse(header_with(options));
  REQUIRE(parsed.result.ok);
  REQUIRE_FALSE(parsed.result.malformed_options);
  return parsed.header.options;
}

TcpOptions options_before_malformed(const Octets& options) {
  const Parsed parsed = parse(header_with(options));
  REQUIRE(parsed.result.ok);
  REQUIRE(parsed.result.malformed_options);
  return parsed.header.options;
}

void require_same(const TcpOptions& a, const TcpOptions& b) {
  REQUIRE(a.has_mss == b.has_mss);
  REQUIRE(a.mss == b.mss);
  REQUIRE(a.has_window_scale == b.has_window_scale);
  REQUIRE(a.window_scale == b.window_scale);
  REQUIRE(a.has_sack_permitted == b.has_sack_permitted);
  REQUIRE(a.has_timestamps == b.has_timestamps);
  REQUIRE(a.ts_val == b.ts_val);
  REQUIRE(a.ts_ecr == b.ts_ecr);
  REQUIRE(a.sack_count == b.sack_count);
  for (std::size_t i = 0; i < a.sack_count; ++i) REQUIRE(a.sack[i] == b.sack[i]);
}

TcpOptions random_options(Rng& rng) {
  TcpOptions options;
  options.has_mss = rng.chance(1, 2);
  options.has_window_scale = rng.chance(1, 2);
  options.has_sack_permitted = rng.chance(1, 2);
  options.has_timestamps = rng.chance(1, 2);
  if (options.has_mss) options.mss = static_cast<std::uint16_t>(rng.next());
  if (options.has_window_scale) options.window_scale = static_cast<std::uint8_t>(rng.next());
  if (options.has_timestamps) {
    options.ts_val = static_cast<std::uint32_t>(rng.next());
    options.ts_ecr = static_cast<std::uint32_t>(rng.next());
  }
  options.sack_count = static_cast<std::uint8_t>(rng.below(kMaxSackBlocks + 1));
  for (std::size_t i = 0; i < options.sack_count; ++i)
    options.sack[i] = {SeqNum(static_cast<std::uint32_t>(rng.next())),
                       SeqNum(static_cast<std::uint32_t>(rng.next()))};
  return options;
}

}  // namespace

TEST_CASE("a TCP header's fields are where RFC 9293 draws them", "[wire][tcp][rfc9293]") {
  const Octets segment = octets({0x12, 0x34, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
                                 0x08, 0x5f, 0xd2, 0xab, 0xcd, 0x99, 0x99, 0x00, 0x07, 0xaa});
  const Parsed parsed = parse(segment);
  REQUIRE(parsed.result.ok);
  REQUIRE(parsed.header.source.value == 0x1234);
  REQUIRE(parsed.header.destination.value == 80);
  REQUIRE(parsed.header.seq == SeqNum(0x01020304));
  REQUIRE(parsed.header.ack == SeqNum(0x05060708));
  REQUIRE(parsed.header.header_length == 20);  // reserved bits do not count
  REQUIRE(parsed.header.flags == (kCwr | kEce | kAck | kSyn));
  REQUIRE(parsed.header.window == 0xabcd);
  REQUIRE(parsed.header.urgent_pointer == 7);
}

TEST_CASE("a segment shorter than 20 octets is truncated", "[wire][tcp]") {
  for (std::size_t length = 0; length < kTcpMinHeader; ++length) {
    const Parsed parsed = parse(Octets(length, std::byte{0xff}));
    REQUIRE_FALSE(parsed.result.ok);
    REQUIRE(parsed.result.error == TcpParseError::kTruncated);
  }
}

TEST_CASE("a data offset below 5 or beyond the segment is refused", "[wire][tcp]") {
  for (unsigned offset = 0; offset < 16; ++offset) {
    for (const std::size_t length : {20u, 24u, 59u, 60u}) {
      Octets segment(length);
      segment[12] = static_cast<std::byte>(offset << 4);
      const Parsed parsed = parse(segment);
      CAPTURE(offset, length);
      REQUIRE(parsed.result.ok == (offset >= 5 && offset * 4 <= length));
      if (!parsed.result.ok) REQUIRE(parsed.result.error == TcpParseError::kDataOffset);
    }
  }
}

TEST_CASE("a refused segment leaves the header unchanged", "[wire][tcp]") {
  TcpHeader header;
  header.window = 77;
  REQUIRE_FALSE(parse_tcp(Octets(20), header).ok);
  REQUIRE(header.window == 77);
}

//= rfc9293#3.1 MUST-4, MUST-5 test
TEST_CASE("what Linux sends in a SYN is read whole", "[wire][tcp][options]") {
  const TcpOptions options =
      options_of(octets({2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}));
  REQUIRE((options.has_mss && options.mss == 1460));
  REQUIRE(options.has_sack_permitted);
  REQUIRE((options.has_timestamps && options.ts_val == 0x01020304 && options.ts_ecr == 0));
  REQUIRE((options.has_window_scale && options.window_scale == 7));
  REQUIRE(options.sack_count == 0);
}

//= rfc9293#3.2 MUST-64 test
TEST_CASE("timestamps are read in the layout of RFC 7323 and in any other",
          "[wire][tcp][options][rfc7323]") {
  const auto layout = GENERATE(octets({1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}),
                               octets({8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0}),
                               octets({1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1}));
  const TcpOptions options = options_of(layout);
  REQUIRE((options.has_timestamps && options.ts_val == 0x01020304 && options.ts_ecr == 0x05060708));
}

TEST_CASE("one to four SACK blocks are read", "[wire][tcp][options][rfc2018]") {
  for (std::uint8_t count = 1; count <= kMaxSackBlocks; ++count) {
    Octets list = octets({1, 1, 5, 2u + 8u * count});
    for (std::size_t i = 0; i < 8u * count; ++i) list.push_back(static_cast<std::byte>(i));
    const TcpOptions options = options_of(list);
    REQUIRE(options.sack_count == count);
    REQUIRE(options.sack[0] == SackBlock{SeqNum(0x00010203), SeqNum(0x04050607)});
    REQUIRE(options.sack[count - 1].right.value() == 0x04050607 + (count - 1u) * 0x08080808);
  }
}

//= rfc9293#3.1 MUST-4 test
TEST_CASE("nothing behind an end of list is read", "[wire][tcp][options]") {
  const TcpOptions options = options_of(octets({1, 0, 2, 4, 5, 180, 3, 0}));
  REQUIRE_FALSE(options.has_mss);
}

//= rfc9293#3.1 MUST-6 test
TEST_CASE("an option of unknown kind is passed over", "[wire][tcp][options][rfc9293]") {
  const TcpOptions options = options_of(octets({254, 6, 1, 2, 3, 4, 30, 2, 2, 4, 0x02, 0x18}));
  REQUIRE((options.has_mss && options.mss == 536));
}

//= rfc9293#3.1 MUST-7 test
TEST_CASE("an illegal option length ends the list and keeps what came before",
          "[wire][tcp][options][rfc9293]") {
  const auto tail = GENERATE(octets({3, 0, 7, 1}),    // length 0
                             octets({3, 1, 7, 1}),    // length 1
                             octets({254, 0, 7, 1}),  // of an unknown kind too
                             octets({254, 5, 7, 1}),  // beyond the header
                             octets({1, 1, 1, 3}),    // no room for a length
                             octets({8, 255, 7, 1}),  // far beyond
                             octets({3, 4, 7, 1}),    // lengths that do not fit their kinds:
                             octets({2, 3, 7, 1}), octets({4, 3, 7, 1}), octets({5, 2, 1, 1}),
                             octets({8, 4, 1, 1}));
  Octets list = octets({2, 4, 0x05, 0xb4});
  list.insert(list.end(), tail.begin(), tail.end());
  const TcpOptions options = options_before_malformed(list);
  REQUIRE((options.has_mss && options.mss == 1460));
  REQUIRE_FALSE(options.has_window_scale);
  REQUIRE_FALSE(options.has_sack_permitted);
  REQUIRE_FALSE(options.has_timestamps);
  REQUIRE(options.sack_count == 0);
}

TEST_CASE("a SACK option that is no whole number of blocks is malformed",
          "[wire][tcp][options][rfc2018]") {
  for (unsigned length = 2; length <= 40; ++length) {
    Octets list(40, std::byte{0});
    list[0] = std::byte{5};
    list[1] = static_cast<std::byte>(length);
    const Parsed parsed = parse(header_with(list));
    const bool is_whole = length % 8 == 2 && length > 2;
    CAPTURE(length);
    REQUIRE(parsed.result.malformed_options == !is_whole);
    REQUIRE(parsed.header.options.sack_count == (is_whole ? length / 8 : 0));
  }
}

TEST_CASE("of an option that comes twice the last one counts", "[wire][tcp][options]") {
  const TcpOptions options = options_of(octets({2, 4, 1, 1, 2, 4, 2, 2, 3, 3, 1, 3, 3, 2, 1, 1}));
  REQUIRE(options.mss == 0x0202);
  REQUIRE(options.window_scale == 2);
}

TEST_CASE("a second, shorter SACK option leaves only its own blocks counted",
          "[wire][tcp][options]") {
  Octets list = octets({5, 18});
  list.resize(18, std::byte{1});
  list.push_back(std::byte{5});
  list.push_back(std::byte{10});
  list.resize(28, std::byte{2});
  const TcpOptions options = options_of(list);
  REQUIRE(options.sack_count == 1);
  REQUIRE(options.sack[0].left == SeqNum(0x02020202));
}

TEST_CASE("every cut of a full header is refused or read within its end", "[wire][tcp]") {
  Rng rng(21);
  for (int round = 0; round < 2'000; ++round) {
    Octets segment(kTcpMinHeader + rng.below(kTcpMaxOptions + 9));
    for (auto& octet : segment) octet = static_cast<std::byte>(rng.next());
    for (std::size_t i = kTcpMinHeader; i < segment.size(); ++i)  // small numbers: kinds, lengths
      if (rng.chance(2, 3)) segment[i] = static_cast<std::byte>(rng.below(12));
    const Parsed parsed = parse(segment);
    if (!parsed.result.ok) continue;
    REQUIRE(parsed.header.header_length <= segment.size());
    REQUIRE(parsed.header.options.sack_count <= kMaxSackBlocks);
  }
}

//= rfc9293#3.1 MUST-68, MUST-69 test
TEST_CASE("options are laid out as Linux lays them out", "[wire][tcp][emit]") {
  const auto emitted = [](const TcpOptions& options) {
    TcpHeader header;
    header.options = options;
    Octets out(kTcpMaxHeader, std::byte{0xee});
    const std::size_t length = emit_tcp(header, out);
    REQUIRE(length == tcp_header_length(header));
    REQUIRE(std::to_integer<unsigned>(out[12]) == length / 4 << 4);
    return Octets(out.begin() + kTcpMinHeader, out.begin() + static_cast<std::ptrdiff_t>(length));
  };
  TcpOptions syn;
  REQUIRE(emitted(syn).empty());
  syn.has_mss = syn.has_sack_permitted = syn.has_window_scale = true;
  syn.mss = 1460;
  syn.window_scale = 7;
  REQUIRE(emitted(syn) == octets({2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7}));
  syn.has_timestamps = true;
  syn.ts_val = 0x01020304;
  REQUIRE(emitted(syn) == octets({2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}));
  TcpOptions data;
  data.has_timestamps = true;
  data.ts_ecr = 9;
  REQUIRE(emitted(data) == octets({1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 9}));
  data.sack_count = 1;
  data.sack[0] = {SeqNum(1), SeqNum(2)};
  REQUIRE(emitted(data) == octets({1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 9,  //
                                   1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}));
}

TEST_CASE("SACK blocks that do not fit beside timestamps are left out", "[wire][tcp][emit]") {
  TcpHeader header;
  header.options.sack_count = 4;
  REQUIRE(tcp_header_length(header) == 20 + 4 + 32);
  header.options.has_timestamps = true;
  REQUIRE(tcp_header_length(header) == 20 + 12 + 4 + 24);
  header.options.has_mss = header.options.has_window_scale = true;
  header.options.has_sack_permitted = true;
  REQUIRE(tcp_header_length(header) == 20 + 20 + 4 + 16);
}

TEST_CASE("what is emitted is parsed back", "[wire][tcp][emit]") {
  Rng rng(31);
  for (int round = 0; round < 2'000; ++round) {
    TcpHeader header;
    header.source = Port{static_cast<std::uint16_t>(rng.next())};
    header.destination = Port{static_cast<std::uint16_t>(rng.next())};
    header.seq = SeqNum(static_cast<std::uint32_t>(rng.next()));
    header.ack = SeqNum(static_cast<std::uint32_t>(rng.next()));
    header.flags = static_cast<std::uint8_t>(rng.next());
    header.window = static_cast<std::uint16_t>(rng.next());
    header.urgent_pointer = static_cast<std::uint16_t>(rng.next());
    header.options = random_options(rng);
    Octets out(tcp_header_length(header));
    REQUIRE(out.size() <= kTcpMaxHeader);
    REQUIRE(emit_tcp(header, out) == out.size());
    const Parsed back = parse(out);
    REQUIRE(back.result.ok);
    REQUIRE_FALSE(back.result.malformed_options);
    REQUIRE(back.header.source == header.source);
    REQUIRE(back.header.destination == header.destination);
    REQUIRE(back.header.seq == header.seq);
    REQUIRE(back.header.ack == header.ack);
    REQUIRE(back.header.flags == header.flags);
    REQUIRE(back.header.header_length == out.size());
    REQUIRE(back.header.window == header.window);
    REQUIRE(back.header.urgent_pointer == header.urgent_pointer);
    TcpOptions expected = header.options;
    expected.sack_count = back.header.options.sack_count;  // as many as fit
    REQUIRE(expected.sack_count <= header.options.sack_count);
    require_same(back.header.options, expected);
  }
}

TEST_CASE("a checksum is stored in network byte order", "[wire][tcp][emit]") {
  Octets out(kTcpMinHeader);
  emit_tcp(TcpHeader{}, out);
  set_tcp_checksum(out, 0x1234);
  REQUIRE(out[16] == std::byte{0x12});
  REQUIRE(out[17] == std::byte{0x34});
}
