#include "tests/script/translation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "tests/support/mbuf_pool.hpp"
#include "wire/tcp.hpp"

namespace sluice::script {
namespace {

enum OptionNumber : std::uint8_t {
  kNumberEol = 0,
  kNumberNop = 1,
  kNumberMss = 2,
  kNumberWscale = 3,
  kNumberSackOk = 4,
  kNumberSack = 5,
  kNumberTimestamps = 8,
};

constexpr std::uint32_t kUnwrittenTimestamp = 100;  // the first TSval, if it comes under `<...>`

class OctetWriter {
 public:
  void put8(std::uint32_t value) { octets.push_back(static_cast<std::byte>(value)); }
  void put16(std::uint32_t value) {
    put8(value >> 8);
    put8(value);
  }
  void put32(std::uint32_t value) {
    put16(value >> 16);
    put16(value);
  }
  std::vector<std::byte> octets;
};

/// The options exactly as written: order and padding are the script's, not emit_tcp's.
void write_option(OctetWriter& out, const TcpOption& option, std::uint32_t our_isn,
                  std::uint32_t our_timestamps, bool echoes) {
  switch (option.kind) {
    case TcpOption::Kind::kEol:
    case TcpOption::Kind::kOther:
      return out.put8(kNumberEol);
    case TcpOption::Kind::kNop:
      return out.put8(kNumberNop);
    case TcpOption::Kind::kMss:
      out.put16(kNumberMss << 8 | 4);
      return out.put16(option.first);
    case TcpOption::Kind::kWscale:
      out.put16(kNumberWscale << 8 | 3);
      return out.put8(option.first);
    case TcpOption::Kind::kSackOk:
      return out.put16(kNumberSackOk << 8 | 2);
    case TcpOption::Kind::kSack:
      out.put16(static_cast<std::uint32_t>(kNumberSack << 8 | (2 + 8 * option.blocks)));
      for (std::size_t i = 0; i < option.blocks; ++i) {
        out.put32(option.sack[i][0] + our_isn);
        out.put32(option.sack[i][1] + our_isn);
      }
      return;
    case TcpOption::Kind::kTimestamps:
      out.put16(kNumberTimestamps << 8 | 10);
      out.put32(option.first);
      return out.put32(echoes ? option.second + our_timestamps : option.second);
  }
}

std::uint32_t read32(std::span<const std::byte> octets) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | std::to_integer<std::uint32_t>(octets[i]);
  return value;
}

/// One option at the front of `octets`; how many it takes.
std::size_t read_option(std::span<const std::byte> octets, TcpOption& option) {
  const auto number = std::to_integer<std::uint8_t>(octets[0]);
  option.kind = number == kNumberEol ? TcpOption::Kind::kEol : TcpOption::Kind::kNop;
  if (number <= kNumberNop) return 1;
  const std::size_t length = octets.size() > 1 ? std::to_integer<std::size_t>(octets[1]) : 0;
  option.kind = TcpOption::Kind::kOther;
  option.first = number;
  if (length < 2 || length > octets.size()) return octets.size();
  if (number == kNumberMss && length == 4) {
    option.kind = TcpOption::Kind::kMss;
    option.first =
        std::to_integer<std::uint32_t>(octets[2]) << 8 | std::to_integer<std::uint32_t>(octets[3]);
  } else if (number == kNumberWscale && length == 3) {
    option.kind = TcpOption::Kind::kWscale;
    option.first = std::to_integer<std::uint32_t>(octets[2]);
  } else if (number == kNumberSackOk && length == 2) {
    option.kind = TcpOption::Kind::kSackOk;
    option.first = 0;
  } else if (number == kNumberTimestamps && length == 10) {
    option.kind = TcpOption::Kind::kTimestamps;
    option.first = read32(octets.subspan(2));
    option.second = read32(octets.subspan(6));
  } else if (number == kNumberSack && length % 8 == 2 && length <= 34) {
    option.kind = TcpOption::Kind::kSack;
    option.first = 0;
    option.blocks = static_cast<std::uint8_t>((length - 2) / 8);
    for (std::size_t i = 0; i < option.blocks; ++i)
      option.sack[i] = {read32(octets.subspan(2 + 8 * i)), read32(octets.subspan(6 + 8 * i))};
  }
  return length;
}

const TcpOption* timestamps_of(const TcpPacket& packet) {
  if (!packet.options) return nullptr;
  for (const TcpOption& option : *packet.options)
    if (option.kind == TcpOption::Kind::kTimestamps) return &option;
  return nullptr;
}

std::string to_string(const TcpOption& option) {
  switch (option.kind) {
    case TcpOption::Kind::kEol:
      return "eol";
    case TcpOption::Kind::kNop:
      return "nop";
    case TcpOption::Kind::kMss:
      return fmt::format("mss {}", option.first);
    case TcpOption::Kind::kWscale:
      return fmt::format("wscale {}", option.first);
    case TcpOption::Kind::kSackOk:
      return "sackOK";
    case TcpOption::Kind::kSack: {
      std::string text = "sack";
      for (std::size_t i = 0; i < option.blocks; ++i)
        text += fmt::format(" {}:{}", option.sack[i][0], option.sack[i][1]);
      return text;
    }
    case TcpOption::Kind::kTimestamps:
      return fmt::format("TS val {} ecr {}", option.first, option.second);
    case TcpOption::Kind::kOther:
      return fmt::format("(option {})", option.first);
  }
  return {};
}

std::string_view to_string(Ecn ecn) {
  switch (ecn) {
    case Ecn::kNotEct:
      return "";  // the usual case
    case Ecn::kEct1:
      return "[ect1] ";
    case Ecn::kEct0:
      return "[ect0] ";
    case Ecn::kCe:
      return "[ce] ";
    case Ecn::kAnyEct:
      return "[ect01] ";
    case Ecn::kUnchecked:
      break;
  }
  return "";
}

bool fits(Ecn expected, Ecn actual) {
  if (expected == Ecn::kUnchecked) return true;
  if (expected == Ecn::kAnyEct) return actual == Ecn::kEct0 || actual == Ecn::kEct1;
  return expected == actual;
}

bool fits(const TcpOption& expected, const TcpOption& actual, Duration clock_tolerance) {
  if (expected.kind != TcpOption::Kind::kTimestamps || actual.kind != expected.kind)
    return expected == actual;
  const auto off = static_cast<std::int32_t>(actual.first - expected.first);
  return expected.second == actual.second && std::abs(std::int64_t{off}) <= clock_tolerance.ms();
}

std::string option_difference(const TcpPacket& expected, const TcpPacket& actual,
                              Duration clock_tolerance) {
  if (!expected.options) return {};
  const auto& wanted = *expected.options;
  const auto& seen = *actual.options;
  if (wanted.size() != seen.size()) return "the options differ";
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!fits(wanted[i], seen[i], clock_tolerance))
      return fmt::format("option {} is {}", to_string(wanted[i]), to_string(seen[i]));
  return {};
}

}  // namespace

std::vector<std::byte> Translation::octets_for_engine(const TcpPacket& packet) {
  const bool is_syn = (packet.flags & (wire::kSyn | wire::kAck)) == wire::kSyn;
  if (is_syn) {
    if (peer_syn_ && *peer_syn_ != packet.seq) begin();  // another connection of the same ports
    peer_syn_ = packet.seq;
  }
  OctetWriter out;
  out.put16(flow_.remote_port.value);
  out.put16(flow_.local_port.value);
  out.put32(packet.seq + peers_);
  out.put32(packet.ack ? *packet.ack + ours_ : 0);
  std::size_t length = 0;
  for (const TcpOption& option : *packet.options) length += length_of(option);
  const std::size_t header = wire::kTcpMinHeader + (length + 3) / 4 * 4;
  out.put8(static_cast<std::uint32_t>(header / 4 << 4));
  out.put8(packet.flags);
  out.put16(packet.window.value_or(0));
  out.put16(0);  // the checksum has been verified below the engine
  out.put16(packet.urgent);
  for (const TcpOption& option : *packet.options)
    write_option(out, option, ours_, timestamps_, (packet.flags & wire::kAck) != 0);
  out.octets.resize(header, static_cast<std::byte>(kNumberEol));
  const auto payload = support::pattern(packet.payload, packet.seq - 1);
  out.octets.insert(out.octets.end(), payload.begin(), payload.end());
  return std::move(out.octets);
}

void Translation::learn(const TcpPacket& expected, const support::SentSegment& sent) {
  if (sent.has(wire::kSyn) && (expected.flags & wire::kSyn) && !has_isn_) {
    ours_ = sent.header.seq.value() - expected.seq;
    has_isn_ = true;
  }
  if (sent.header.options.has_timestamps && !has_timestamp_) {
    const TcpOption* const written = timestamps_of(expected);
    timestamps_ =
        sent.header.options.ts_val - (written != nullptr ? written->first : kUnwrittenTimestamp);
    has_timestamp_ = true;
  }
}

TcpPacket Translation::in_script(const support::SentSegment& sent) const {
  TcpPacket packet;
  packet.direction = Direction::kOutbound;
  packet.ecn = static_cast<Ecn>(sent.ecn);  // the enumerators are the codepoints
  packet.flags = sent.header.flags;
  const bool is_first = sent.has(wire::kSyn) && !has_isn_;  // learn() is still to come
  packet.seq = is_first ? 0 : sent.header.seq.value() - ours_;
  packet.payload = static_cast<std::uint32_t>(sent.payload.size());
  if (sent.has(wire::kAck)) packet.ack = sent.header.ack.value() - peers_;
  packet.window = sent.header.window;
  packet.urgent = sent.header.urgent_pointer;
  packet.options.emplace();
  std::span<const std::byte> rest = sent.options;
  while (!rest.empty()) {
    TcpOption option;
    rest = rest.subspan(read_option(rest, option));
    if (option.kind == TcpOption::Kind::kTimestamps)
      option.first = has_timestamp_ ? option.first - timestamps_ : kUnwrittenTimestamp;
    for (std::size_t i = 0; i < option.blocks; ++i)
      for (std::uint32_t& edge : option.sack[i]) edge -= peers_;
    packet.options->push_back(option);
  }
  while (!packet.options->empty() && packet.options->back().kind == TcpOption::Kind::kEol)
    packet.options->pop_back();  // padding
  return packet;
}

std::string difference(const TcpPacket& expected, const TcpPacket& actual,
                       Duration clock_tolerance) {
  if (expected.flags != actual.flags) return "the flags differ";
  if (expected.seq != actual.seq) return "the sequence number differs";
  if (expected.payload != actual.payload) return "the length of the payload differs";
  if (expected.ack != actual.ack) return "the acknowledgment number differs";
  if (expected.window && expected.window != actual.window) return "the window differs";
  if (expected.urgent != actual.urgent) return "the urgent pointer differs";
  if (!fits(expected.ecn, actual.ecn)) return "the ECN bits of the IP header differ";
  return option_difference(expected, actual, clock_tolerance);
}

std::string to_string(const TcpPacket& packet) {
  std::string text = packet.direction == Direction::kInbound ? "< " : "> ";
  text += to_string(packet.ecn);
  if (packet.ports)
    text += fmt::format("{} > {} ", packet.ports->source, packet.ports->destination);
  constexpr std::string_view kLetters = "SFRPUEW.";
  constexpr std::uint8_t kBits[] = {wire::kSyn, wire::kFin, wire::kRst, wire::kPsh,
                                    wire::kUrg, wire::kEce, wire::kCwr, wire::kAck};
  for (std::size_t i = 0; i < kLetters.size(); ++i)
    if (packet.flags & kBits[i]) text += kLetters[i];
  if (packet.flags == 0) text += '-';
  text += fmt::format(" {}:{}({})", packet.seq, packet.seq + packet.payload, packet.payload);
  if (packet.ack) text += fmt::format(" ack {}", *packet.ack);
  if (packet.window) text += fmt::format(" win {}", *packet.window);
  if (packet.urgent != 0) text += fmt::format(" urg {}", packet.urgent);
  if (!packet.options) return text + " <...>";
  for (std::size_t i = 0; i < packet.options->size(); ++i)
    text += (i == 0 ? " <" : ",") + to_string((*packet.options)[i]);
  return packet.options->empty() ? text : text + ">";
}

bool has_right_payload(const support::SentSegment& sent, std::uint32_t script_seq) {
  return sent.payload == support::pattern(sent.payload.size(), script_seq - 1);
}

}  // namespace sluice::script
