#pragma once

// What a script says, as the parser leaves it: values only. Numbers are the script's own, relative
// to each side's initial sequence number; runner and translation make live ones of them.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "tests/script/expression.hpp"

namespace sluice::script {

/// When an event happens, or an outbound packet is due.
struct EventTime {
  enum class Kind : std::uint8_t {
    kAbsolute,  ///< `1.5`: since the script's start.
    kRelative,  ///< `+.1`: since the event before.
    kAny,       ///< `*`: whenever the packet comes.
  };
  Kind kind = Kind::kAbsolute;
  Duration earliest;
  Duration latest;  ///< Differs from `earliest` in ranges: `1~2`, `+0~+.1`.
};

/// One TCP option as written; `first` and `second` are its numbers.
struct TcpOption {
  enum class Kind : std::uint8_t {
    kEol,
    kNop,
    kMss,
    kWscale,
    kSackOk,
    kSack,
    kTimestamps,
    kOther,  ///< Sent by the engine, and none of these: `first` is its number.
  };
  Kind kind = Kind::kNop;
  std::uint32_t first = 0;   ///< mss, shift count, TSval.
  std::uint32_t second = 0;  ///< TSecr.
  std::uint8_t blocks = 0;
  std::array<std::array<std::uint32_t, 2>, 4> sack{};  ///< Left and right edges.
  bool operator==(const TcpOption&) const = default;
};
/// Octets that an option takes in the header.
std::size_t length_of(const TcpOption& option);

enum class Direction : bool { kInbound, kOutbound };

enum class Ecn : std::uint8_t { kNotEct, kEct1, kEct0, kCe, kAnyEct, kUnchecked };

/// `40000 > 8080`; without it the connection under test.
struct PortPair {
  std::uint16_t source = 0;
  std::uint16_t destination = 0;
};

struct TcpPacket {
  Direction direction = Direction::kInbound;
  Ecn ecn = Ecn::kUnchecked;
  std::optional<PortPair> ports;
  std::uint8_t flags = 0;  ///< wire::TcpFlags
  std::uint32_t seq = 0;
  std::uint32_t payload = 0;
  std::optional<std::uint32_t> ack;
  std::optional<std::uint16_t> window;
  std::uint16_t urgent = 0;
  std::optional<std::vector<TcpOption>> options;  ///< None: `<...>`, whatever they are.
};

/// An ICMP error that quotes octets [seq, seq + payload) of ours. Inbound only.
struct IcmpPacket {
  std::string type;
  std::string code;
  std::uint16_t mtu = 0;
  std::uint32_t seq = 0;
};

/// An argument or a result of a call.
struct Value {
  enum class Kind : std::uint8_t { kEllipsis, kNumber, kWord, kText, kList };
  Kind kind = Kind::kEllipsis;
  std::int64_t number = 0;
  std::string word;                   ///< kWord (`A|B` as written, without blanks) and kText.
  std::vector<std::int64_t> numbers;  ///< kList of numbers; `{onoff=1, linger=0}` is [1, 0].
  std::vector<std::string> words;     ///< kList of words or texts.
};

struct Call {
  std::string name;
  std::vector<Value> arguments;
  std::int64_t result = 0;
  std::string error;  ///< `= -1 EAGAIN`; empty if the result is no error.
};

struct Code {
  std::vector<Assertion> assertions;  ///< None: only time passes.
};

struct Event {
  unsigned line = 0;
  EventTime time;
  std::variant<TcpPacket, IcmpPacket, Call, Code> action;
};

/// `--name=value` or `--name value` above the first event.
struct HeaderLine {
  unsigned line = 0;
  std::string name;
  std::string value;
};

struct Script {
  std::vector<HeaderLine> header;
  std::vector<Event> events;
};

/// What is wrong with a script, and where.
struct ScriptError {
  unsigned line = 0;
  std::string what;
};

}  // namespace sluice::script
