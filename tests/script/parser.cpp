#include "tests/script/parser.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tests/script/lexer.hpp"
#include "wire/tcp.hpp"

namespace sluice::script {
namespace {

constexpr std::int64_t kMaxU16 = 0xffff;
constexpr std::int64_t kMaxU32 = 0xffffffff;
constexpr std::size_t kMaxArguments = 8;
constexpr std::size_t kMaxListed = 16;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string quoted(const Token& token) {
  if (token.kind == Token::Kind::kEnd) return "the end of the script";
  return fmt::format("`{}`", token.text.substr(0, 40));
}

class Parser {
 public:
  Parser(const std::vector<Token>& tokens, Script& script, ScriptError& error)
      : tokens_(tokens), script_(script), error_(error) {}

  bool run() {
    while (peek().kind == Token::Kind::kHeader)
      if (!header_line()) return false;
    while (peek().kind != Token::Kind::kEnd)
      if (!event()) return false;
    if (script_.events.empty()) return fail("the script has no events");
    return true;
  }

 private:
  // --- tokens ---
  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& take() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool fail(std::string what) {
    error_ = {peek().line, std::move(what)};
    return false;
  }
  bool accept_sign(char c) {
    if (!peek().is_sign(c)) return false;
    take();
    return true;
  }
  bool expect_sign(char c) {
    return accept_sign(c) || fail(fmt::format("expected `{}`, not {}", c, quoted(peek())));
  }
  bool accept_word(std::string_view word) {
    if (!peek().is_word(word)) return false;
    take();
    return true;
  }
  template <class Number>
  bool number(std::string_view what, std::int64_t most, Number& value) {
    const Token& token = peek();
    if (token.kind != Token::Kind::kNumber || !token.is_whole)
      return fail(fmt::format("expected {}, not {}", what, quoted(token)));
    if (token.number < 0 || token.number > most)
      return fail(fmt::format("{} is out of range: {}", what, token.text));
    value = static_cast<Number>(token.number);
    take();
    return true;
  }

  // --- header ---
  bool header_line() {
    std::string_view text = peek().text.substr(2);
    text = trimmed(text.substr(0, text.find("//")));
    const std::size_t end = text.find_first_of("= \t");
    if (text.empty() || end == 0) return fail("a header line needs a name: --name=value");
    HeaderLine line{.line = take().line, .name = std::string(text.substr(0, end)), .value = {}};
    if (end != std::string_view::npos) line.value = trimmed(text.substr(end + 1));
    script_.header.push_back(std::move(line));
    return true;
  }

  // --- events ---
  bool event() {
    Event event{.line = peek().line, .time = {}, .action = {}};
    if (peek().kind == Token::Kind::kShell)
      return fail("shell commands are not part of the subset");
    if (peek().kind == Token::Kind::kHeader) return fail("header lines stand before all events");
    if (!event_time(event.time)) return false;
    event.line = peek().line;
    if (!action(event)) return false;
    const auto* const packet = std::get_if<TcpPacket>(&event.action);
    const bool is_outbound = packet != nullptr && packet->direction == Direction::kOutbound;
    const bool is_range = event.time.earliest != event.time.latest;
    if (!is_outbound && (event.time.kind == EventTime::Kind::kAny || is_range)) {
      error_ = {event.line, "`*` and time ranges are for outbound packets"};
      return false;
    }
    if (script_.events.empty() && (event.time.kind != EventTime::Kind::kAbsolute ||
                                   event.time.earliest != Duration::zero())) {
      error_ = {event.line, "the first event must be at time 0"};
      return false;
    }
    script_.events.push_back(std::move(event));
    return true;
  }

  bool moment(Duration& value) {
    const Token& token = peek();
    if (token.kind != Token::Kind::kNumber || token.text.starts_with("0x"))
      return fail("expected a time, not " + quoted(token));
    if (token.nanos < 0) return fail(fmt::format("a time is negative: {}", token.text));
    value = Duration::from_ns(token.nanos);
    take();
    return true;
  }

  bool event_time(EventTime& time) {
    if (accept_sign('*')) {
      time.kind = EventTime::Kind::kAny;
      return true;
    }
    const bool is_relative = accept_sign('+');
    time.kind = is_relative ? EventTime::Kind::kRelative : EventTime::Kind::kAbsolute;
    if (!moment(time.earliest)) return false;
    time.latest = time.earliest;
    if (peek().kind == Token::Kind::kEllipsis)
      return fail("calls that block are not part of the subset");
    if (!accept_sign('~')) return true;
    if (is_relative && !expect_sign('+')) return false;
    if (!moment(time.latest)) return false;
    return time.earliest <= time.latest || fail("the time range is backwards");
  }

  bool action(Event& event) {
    const Token& token = peek();
    if (token.kind == Token::Kind::kShell) return fail("shell commands are not part of the subset");
    if (token.kind == Token::Kind::kCode) return code(event);
    if (token.is_sign('<') || token.is_sign('>')) return packet(event);
    if (token.kind == Token::Kind::kWord) return call(event);
    return fail("expected a packet, a call or %{ }%, not " + quoted(token));
  }

  // --- %{ ... }% ---
  bool code(Event& event) {
    const Token token = take();
    Code code;
    unsigned line = token.line;
    std::string_view rest = token.text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find_first_of(";\n"), rest.size());
      const std::string_view statement = trimmed(rest.substr(0, end));
      if (!statement.empty() && statement.front() != '#') {
        if (!assertion(statement, line, code)) return false;
      }
      if (end < rest.size() && rest[end] == '\n') ++line;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    event.action = std::move(code);
    return true;
  }

  bool assertion(std::string_view statement, unsigned line, Code& code) {
    constexpr std::string_view kAssert = "assert";
    const auto bad = [&](std::string what) {
      error_ = {line, std::move(what)};
      return false;
    };
    if (!statement.starts_with(kAssert) || statement.size() == kAssert.size() ||
        (statement[kAssert.size()] != ' ' && statement[kAssert.size()] != '('))
      return bad(
          fmt::format("only `assert EXPRESSION` is part of the subset, not `{}`", statement));
    std::string_view text = statement.substr(kAssert.size());
    text = trimmed(text.substr(0, text.find(',')));  // packetdrill's: what Python would print
    Assertion assertion{.line = line, .text = std::string(text), .program = {}};
    std::string what;
    if (!compile(text, assertion.program, what)) return bad(what);
    code.assertions.push_back(std::move(assertion));
    return true;
  }

  // --- packets ---
  bool packet(Event& event) {
    TcpPacket packet;
    packet.direction = take().is_sign('<') ? Direction::kInbound : Direction::kOutbound;
    if (peek().is_sign('[') && !ecn(packet)) return false;
    if (peek().is_word("icmp")) {
      if (packet.direction == Direction::kOutbound) return fail("icmp is inbound only");
      return icmp(event);
    }
    if (peek().kind == Token::Kind::kNumber) {
      PortPair ports;
      if (!number("a port", kMaxU16, ports.source) || !expect_sign('>') ||
          !number("a port", kMaxU16, ports.destination))
        return false;
      packet.ports = ports;
    }
    if (!flags(packet) || !sequence(packet) || !fields(packet)) return false;
    if (!tcp_options(packet)) return false;
    event.action = std::move(packet);
    return true;
  }

  bool ecn(TcpPacket& packet) {
    take();
    const Token& token = take();
    if (token.is_word("noecn")) {
      packet.ecn = Ecn::kNotEct;
    } else if (token.is_word("ect0")) {
      packet.ecn = Ecn::kEct0;
    } else if (token.is_word("ect1")) {
      packet.ecn = Ecn::kEct1;
    } else if (token.is_word("ce")) {
      packet.ecn = Ecn::kCe;
    } else if (token.is_word("ect01") && packet.direction == Direction::kOutbound) {
      packet.ecn = Ecn::kAnyEct;
    } else {
      return fail("expected noecn, ect0, ect1, ce or, outbound, ect01, not " + quoted(token));
    }
    return expect_sign(']');
  }

  bool flags(TcpPacket& packet) {
    if (accept_sign('-')) return true;
    const Token& token = peek();
    if (token.kind != Token::Kind::kWord && !token.is_sign('.'))
      return fail("expected the flags of a segment, not " + quoted(token));
    if (token.kind == Token::Kind::kWord) {
      for (const char c : token.text) {
        constexpr std::string_view kLetters = "FSRPUEW";
        constexpr std::uint8_t kBits[] = {wire::kFin, wire::kSyn, wire::kRst, wire::kPsh,
                                          wire::kUrg, wire::kEce, wire::kCwr};
        const std::size_t index = kLetters.find(c);
        if (index == std::string_view::npos)
          return fail("no flags and no packet: " + quoted(token));
        packet.flags |= kBits[index];
      }
      take();
    }
    if (accept_sign('.')) packet.flags |= wire::kAck;
    return true;
  }

  bool sequence(TcpPacket& packet) {
    std::uint32_t end = 0;
    if (!number("a sequence number", kMaxU32, packet.seq) || !expect_sign(':') ||
        !number("a sequence number", kMaxU32, end) || !expect_sign('(') ||
        !number("a payload's length", kMaxU16, packet.payload))
      return false;
    if (packet.seq + packet.payload != end)
      return fail("the sequence numbers and the length of the payload disagree");
    return expect_sign(')');
  }

  bool fields(TcpPacket& packet) {
    if (accept_word("ack")) {
      std::uint32_t ack = 0;
      if (!number("a sequence number", kMaxU32, ack)) return false;
      packet.ack = ack;
    }
    if (packet.ack.has_value() != ((packet.flags & wire::kAck) != 0))
      return fail(packet.ack ? "`ack` without the flag `.`" : "the flag `.` without `ack`");
    if (accept_word("win")) {
      std::uint16_t window = 0;
      if (!number("a window", kMaxU16, window)) return false;
      packet.window = window;
    }
    if (packet.direction == Direction::kInbound && !packet.window &&
        (packet.flags & wire::kRst) == 0)
      return fail("an inbound segment needs `win`");
    return !accept_word("urg") || number("an urgent pointer", kMaxU16, packet.urgent);
  }

  bool tcp_options(TcpPacket& packet) {
    packet.options.emplace();
    if (!accept_sign('<')) return true;
    if (peek().kind == Token::Kind::kEllipsis) {
      if (packet.direction == Direction::kInbound) return fail("<...> is for outbound packets");
      take();
      packet.options.reset();
      return expect_sign('>');
    }
    std::size_t length = 0;
    do {
      TcpOption option;
      if (!tcp_option(option)) return false;
      length += length_of(option);
      packet.options->push_back(option);
    } while (accept_sign(','));
    if ((length + 3) / 4 * 4 > wire::kTcpMaxOptions)
      return fail("the options take more than 40 octets");
    return expect_sign('>');
  }

  bool tcp_option(TcpOption& option) {
    const Token& token = take();
    if (token.is_word("nop")) return true;
    if (token.is_word("eol")) {
      option.kind = TcpOption::Kind::kEol;
      return true;
    }
    if (token.is_word("sackOK")) {
      option.kind = TcpOption::Kind::kSackOk;
      return true;
    }
    if (token.is_word("mss")) {
      option.kind = TcpOption::Kind::kMss;
      return number("an MSS", kMaxU16, option.first);
    }
    if (token.is_word("wscale")) {
      option.kind = TcpOption::Kind::kWscale;
      return number("a shift count", 255, option.first);
    }
    if (token.is_word("TS")) {
      option.kind = TcpOption::Kind::kTimestamps;
      if (!accept_word("val")) return fail("expected `val`, not " + quoted(peek()));
      if (!number("a timestamp", kMaxU32, option.first)) return false;
      if (!accept_word("ecr")) return fail("expected `ecr`, not " + quoted(peek()));
      return number("a timestamp", kMaxU32, option.second);
    }
    if (token.is_word("sack")) return sack(option);
    return fail("expected mss, wscale, sackOK, sack, TS, nop or eol, not " + quoted(token));
  }

  bool sack(TcpOption& option) {
    option.kind = TcpOption::Kind::kSack;
    do {
      if (option.blocks == option.sack.size()) return fail("more than 4 SACK blocks");
      auto& block = option.sack[option.blocks++];
      if (!number("a left edge", kMaxU32, block[0]) || !expect_sign(':') ||
          !number("a right edge", kMaxU32, block[1]))
        return false;
    } while (peek().kind == Token::Kind::kNumber);
    return true;
  }

  bool icmp(Event& event) {
    take();
    IcmpPacket packet;
    if (peek().kind != Token::Kind::kWord) return fail("expected ICMP's type");
    packet.type = take().text;
    if (peek().kind == Token::Kind::kWord && !peek().is_word("mtu")) packet.code = take().text;
    if (accept_word("mtu") && !number("an MTU", kMaxU16, packet.mtu)) return false;
    if (!expect_sign('[')) return false;
    TcpPacket quotation;
    if (!sequence(quotation)) return false;
    packet.seq = quotation.seq;
    event.action = std::move(packet);
    return expect_sign(']');
  }

  // --- calls ---
  bool call(Event& event) {
    Call call;
    call.name = take().text;
    if (!expect_sign('(')) return false;
    if (!accept_sign(')')) {
      do {
        if (call.arguments.size() == kMaxArguments) return fail("too many arguments");
        if (!value(call.arguments.emplace_back())) return false;
      } while (accept_sign(','));
      if (!expect_sign(')')) return false;
    }
    if (!expect_sign('=')) return false;
    const Token& result = peek();
    if (result.kind != Token::Kind::kNumber || !result.is_whole)
      return fail("expected the call's result, not " + quoted(result));
    call.result = take().number;
    if (call.result < 0) {
      if (peek().kind != Token::Kind::kWord || !peek().text.starts_with('E'))
        return fail("expected an errno (EAGAIN, ...), not " + quoted(peek()));
      call.error = take().text;
      if (peek().is_sign('(') && !skip_note()) return false;
    }
    event.action = std::move(call);
    return true;
  }

  /// `(Operation now in progress)`: strace's habit.
  bool skip_note() {
    while (peek().kind != Token::Kind::kEnd)
      if (take().is_sign(')')) return true;
    return fail("`(` without `)`");
  }

  bool value(Value& value) {
    if (peek().kind == Token::Kind::kEllipsis) {
      take();
      return true;
    }
    if (accept_sign('[')) return list(value);
    if (accept_sign('{')) return linger(value);
    return scalar(value);
  }

  bool scalar(Value& value) {
    const Token& token = peek();
    if (token.kind == Token::Kind::kNumber && token.is_whole) {
      value.kind = Value::Kind::kNumber;
      value.number = take().number;
      return true;
    }
    if (token.kind == Token::Kind::kText) {
      value.kind = Value::Kind::kText;
      value.word = take().text;
      return true;
    }
    if (token.kind != Token::Kind::kWord) return fail("expected a value, not " + quoted(token));
    value.kind = Value::Kind::kWord;
    value.word = take().text;
    while (accept_sign('|')) {
      if (peek().kind != Token::Kind::kWord || value.word.size() > 200)
        return fail("expected a flag, not " + quoted(peek()));
      value.word += "|";
      value.word += take().text;
    }
    return true;
  }

  bool list(Value& value) {
    value.kind = Value::Kind::kList;
    if (accept_sign(']')) return true;
    do {
      Value entry;
      if (value.numbers.size() + value.words.size() == kMaxListed)
        return fail("a list is too long");
      if (!scalar(entry)) return false;
      if (entry.kind == Value::Kind::kNumber) {
        value.numbers.push_back(entry.number);
      } else {
        value.words.push_back(std::move(entry.word));
      }
    } while (accept_sign(','));
    return expect_sign(']');
  }

  /// `{onoff=1, linger=0}`
  bool linger(Value& value) {
    value.kind = Value::Kind::kList;
    for (const std::string_view field : {"onoff", "linger"}) {
      std::int64_t number_of = 0;
      if (!value.numbers.empty() && !expect_sign(',')) return false;
      if (!accept_word(field))
        return fail(fmt::format("expected `{}`, not {}", field, quoted(peek())));
      if (!expect_sign('=') || !number("a number", kMaxU16, number_of)) return false;
      value.numbers.push_back(number_of);
    }
    return expect_sign('}');
  }

  const std::vector<Token>& tokens_;
  std::size_t at_ = 0;
  Script& script_;
  ScriptError& error_;
};

}  // namespace

std::size_t length_of(const TcpOption& option) {
  switch (option.kind) {
    case TcpOption::Kind::kEol:
    case TcpOption::Kind::kNop:
      return 1;
    case TcpOption::Kind::kMss:
      return 4;
    case TcpOption::Kind::kWscale:
      return 3;
    case TcpOption::Kind::kSackOk:
      return 2;
    case TcpOption::Kind::kSack:
      return 2 + 8 * std::size_t{option.blocks};
    case TcpOption::Kind::kTimestamps:
      return 10;
    case TcpOption::Kind::kOther:
      return 0;
  }
  return 0;
}

bool parse(std::string_view text, Script& script, ScriptError& error) {
  script = {};
  std::vector<Token> tokens;
  if (!tokenize(text, tokens, error)) return false;
  return Parser(tokens, script, error).run();
}

}  // namespace sluice::script
