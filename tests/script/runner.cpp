#include "tests/script/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "tests/script/figures.hpp"
#include "tests/script/settings.hpp"
#include "tests/script/sockets.hpp"
#include "tests/script/translation.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::script {
namespace {

using support::SentSegment;
using support::TcpRig;

constexpr Duration kPatience = Duration::from_s(600);  // for a packet at any time
constexpr std::size_t kRemembered = 16;                // events told with a failure

std::optional<tcp::IcmpErrorKind> kind_of(const IcmpPacket& packet) {
  struct Row {
    std::string_view type, code;
    tcp::IcmpErrorKind kind;
  };
  constexpr Row kRows[] = {
      {"unreachable", "net_unreachable", tcp::IcmpErrorKind::kNetUnreachable},
      {"unreachable", "host_unreachable", tcp::IcmpErrorKind::kHostUnreachable},
      {"unreachable", "protocol_unreachable", tcp::IcmpErrorKind::kProtocolUnreachable},
      {"unreachable", "port_unreachable", tcp::IcmpErrorKind::kPortUnreachable},
      {"unreachable", "frag_needed", tcp::IcmpErrorKind::kFragmentationNeeded},
      {"unreachable", "packet_filtered", tcp::IcmpErrorKind::kProhibited},
      {"time_exceeded", "exceeded_ttl", tcp::IcmpErrorKind::kTimeExceeded},
      {"parameter_problem", "", tcp::IcmpErrorKind::kParameterProblem},
  };
  for (const Row& row : kRows)
    if (row.type == packet.type && row.code == packet.code) return row.kind;
  return std::nullopt;
}

std::string text_of(std::int64_t value, const std::string& error) {
  return error.empty() ? fmt::to_string(value) : fmt::format("{} {}", value, error);
}

/// When the first SYN comes or goes, which is when our ISN is drawn.
Duration time_of_first_syn(const Script& script) {
  Duration at;
  for (const Event& event : script.events) {
    if (event.time.kind == EventTime::Kind::kAbsolute) at = event.time.earliest;
    if (event.time.kind == EventTime::Kind::kRelative) at = at + event.time.earliest;
    const auto* const packet = std::get_if<TcpPacket>(&event.action);
    const auto* const call = std::get_if<Call>(&event.action);
    if ((packet != nullptr && (packet->flags & wire::kSyn)) ||
        (call != nullptr && call->name == "connect"))
      break;
  }
  return at;
}

tcp::FlowKey main_flow() {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), kPeerAddress, Port{kLocalPort}, Port{kPeerPort}};
}

/// The first SYN's time is that of the wanted ISN, on a whole tick so that timers are exact.
Instant start_for(const Script& script, const Isns& isns) {
  const Instant syn = support::time_of_iss(main_flow(), wire::SeqNum(isns.ours));
  constexpr std::int64_t kTick = 1'000'000;
  return Instant::from_ns(syn.ns() / kTick * kTick) - time_of_first_syn(script);
}

class Runner {
 public:
  Runner(const Script& script, const Isns& isns)
      : script_(script),
        isns_(isns),
        settings_(Settings::defaults()),
        start_(start_for(script, isns)),
        last_(start_),
        sockets_(settings_, [this]() -> TcpRig& { return rig(); }) {}

  std::optional<Failure> run() {
    ScriptError error;
    if (!apply_header(script_, settings_, error)) return Failure{error.line, error.what};
    for (const Event& event : script_.events)
      if (!process(event)) break;
    if (!failure_) expect_silence(script_.events.back().line);
    if (rig_) clean_up();
    return std::move(failure_);
  }

 private:
  // --- the engine and its time ---
  TcpRig& rig() {
    if (!rig_) {
      rig_ = std::make_unique<TcpRig>(settings_.engine, now_.value_or(start_));
      rig_->path().mtu = settings_.mtu;
    }
    return *rig_;
  }
  Instant now() const { return rig_ ? rig_->now() : now_.value_or(start_); }

  void run_until(Instant target) {
    if (rig_) {
      rig_->run_until(target);
      drain();
    } else {
      now_ = std::max(now(), target);
    }
  }
  /// Runs until something was sent, or `limit`.
  bool wait_for_packet(Instant limit) {
    while (queue_.empty() && rig_ && now() < limit) {
      const Instant next = rig_->engine().next_deadline();
      run_until(std::min(limit, next <= now() ? now() + kTickLength : next));
    }
    return !queue_.empty();
  }
  void drain() {
    for (SentSegment& sent : rig_->take_sent()) {
      note(fmt::format("{:.6f} {}", seconds(sent.at),
                       to_string(translation_of(sent.flow).in_script(sent))));
      queue_.push_back(std::move(sent));
    }
    sockets_.note(rig_->take_told());
  }
  double seconds(Instant at) const { return static_cast<double>((at - start_).ns()) / 1e9; }

  // --- what is told with a failure ---
  void note(std::string text) {
    history_.push_back(std::move(text));
    if (history_.size() > kRemembered) history_.pop_front();
  }
  bool fail(unsigned line, std::string text) {
    if (!history_.empty()) text += "\n  last events:";
    for (const std::string& event : history_) text += "\n    " + event;
    failure_ = Failure{line, std::move(text)};
    return false;
  }

  // --- connections ---
  Translation& translation_of(const tcp::FlowKey& flow) {
    for (Translation& known : translations_)
      if (known.flow() == flow) return known;
    return translations_.emplace_back(flow, isns_.ours, isns_.peers);
  }
  Translation& translation_of(const TcpPacket& packet) {
    tcp::FlowKey flow = main_flow();
    if (packet.ports) {
      const bool is_inbound = packet.direction == Direction::kInbound;
      flow.local_port = Port{is_inbound ? packet.ports->destination : packet.ports->source};
      flow.remote_port = Port{is_inbound ? packet.ports->source : packet.ports->destination};
    }
    return translation_of(flow);
  }

  // --- events ---
  static bool is_inbound(const Event& event) {
    const auto* const packet = std::get_if<TcpPacket>(&event.action);
    return packet != nullptr ? packet->direction == Direction::kInbound
                             : std::holds_alternative<IcmpPacket>(event.action);
  }
  /// packetdrill's rule: relative times count from when the event before was done, late packets
  /// included; but between inbound packets from when that was due.
  Instant base_of(const Event& event) const {
    if (event.time.kind == EventTime::Kind::kAbsolute) return start_;
    return was_inbound_ && is_inbound(event) ? last_ : std::max(last_, now());
  }
  bool process(const Event& event) {
    const Instant base = base_of(event);
    const Instant earliest = base + event.time.earliest;
    if (earliest < last_) return fail(event.line, "time runs backwards");
    was_inbound_ = is_inbound(event);
    if (const auto* const packet = std::get_if<TcpPacket>(&event.action)) {
      if (packet->direction == Direction::kOutbound)
        return expect(event, *packet, earliest, base + event.time.latest);
    }
    run_until(earliest);
    if (!expect_silence(event.line)) return false;
    last_ = earliest;
    const bool is_good =
        std::visit([&](const auto& action) { return act(event.line, action); }, event.action);
    if (rig_) drain();
    return is_good;
  }

  bool act(unsigned, const TcpPacket& packet) {
    TcpRig& engine = rig();
    note(fmt::format("{:.6f} {}", seconds(now()), to_string(packet)));
    Translation& translation = translation_of(packet);
    const std::uint8_t ecn =
        packet.ecn == Ecn::kUnchecked ? std::uint8_t{0} : static_cast<std::uint8_t>(packet.ecn);
    engine.receive_octets(translation.flow(), translation.octets_for_engine(packet), ecn);
    return true;
  }

  bool act(unsigned line, const IcmpPacket& packet) {
    const auto kind = kind_of(packet);
    if (!kind) return fail(line, "no such ICMP error: " + packet.type + " " + packet.code);
    TcpRig& engine = rig();
    note(fmt::format("{:.6f} < icmp {} {}", seconds(now()), packet.type, packet.code));
    Translation& translation = translation_of(main_flow());
    engine.engine().on_icmp_error({.kind = *kind,
                                   .flow = translation.flow(),
                                   .seq = translation.live_seq(packet.seq),
                                   .mtu = packet.mtu},
                                  now());
    engine.settle();
    return true;
  }

  bool act(unsigned line, const Call& call) {
    if (call.name == "connect") translation_of(main_flow()).begin();
    const CallResult result = sockets_.call(call);
    if (rig_) drain();
    note(fmt::format("{:.6f} {}() = {}", seconds(now()), call.name,
                     text_of(result.value, result.error)));
    if (!result.misuse.empty()) return fail(line, result.misuse);
    if (result.value == call.result && result.error == call.error) return true;
    return fail(
        line, fmt::format("expected {}() = {}, got {}", call.name, text_of(call.result, call.error),
                          text_of(result.value, result.error)));
  }

  bool act(unsigned, const Code& code) {
    for (const Assertion& assertion : code.assertions)
      if (!check(assertion)) return false;
    return true;
  }

  bool check(const Assertion& assertion) {
    std::string values;
    const Figures figures = [&](std::string_view name) -> std::optional<std::int64_t> {
      if (const auto value = constant(name)) return value;
      std::optional<std::int64_t> value;
      if (name == "told_urgent") {
        value = sockets_.urgent_told();
      } else if (sockets_.latest() != nullptr) {
        value = figure(rig_->ctx(), sockets_.latest_index(), name);
      }
      if (value) values += fmt::format(" {} = {}", name, *value);
      return value;
    };
    std::string error;
    const auto value = evaluate(assertion.program, figures, error);
    if (!value && sockets_.latest() == nullptr) error += ", for there is no connection";
    if (!value) return fail(assertion.line, error);
    return *value != 0 || fail(assertion.line, "assert " + assertion.text + " is false:" + values);
  }

  bool expect_silence(unsigned line) {
    if (queue_.empty()) return true;
    const SentSegment& sent = queue_.front();
    return fail(
        line, fmt::format("a packet that the script does not expect before this line\n"
                          "  actual    {} at {:.6f}",
                          to_string(translation_of(sent.flow).in_script(sent)), seconds(sent.at)));
  }

  // --- outbound packets ---
  bool expect(const Event& event, const TcpPacket& expected, Instant earliest, Instant latest) {
    const bool is_any_time = event.time.kind == EventTime::Kind::kAny;
    Duration tolerance = settings_.tolerance;
    if (!is_any_time) {
      const auto share = static_cast<std::int64_t>(static_cast<double>((earliest - last_).ns()) *
                                                   settings_.tolerance_percent / 100);
      tolerance = std::max(tolerance, Duration::from_ns(share));
    }
    const Instant first = is_any_time ? last_ : earliest - tolerance;
    const Instant end = is_any_time ? now() + kPatience : latest + tolerance;
    const auto wanted = [&] {
      const std::string when = is_any_time
                                   ? "at any time"
                                   : fmt::format("at {:.6f}..{:.6f}", seconds(first), seconds(end));
      return "\n  expected  " + to_string(expected) + " " + when;
    };
    if (!wait_for_packet(end)) return fail(event.line, "the packet did not come" + wanted());

    Translation& translation = translation_of(expected);
    SentSegment sent = take_packet(expected, end);
    translation.learn(expected, sent);
    const TcpPacket actual = translation_of(sent.flow).in_script(sent);
    std::string wrong;
    if (!(sent.flow == translation.flow())) wrong = "the packet belongs to another connection";
    if (wrong.empty()) wrong = difference(expected, actual, tolerance);
    if (wrong.empty() && !has_right_payload(sent, actual.seq))
      wrong = "the payload is not what was written";
    if (wrong.empty() && sent.at < first) wrong = "the packet came too early";
    if (wrong.empty() && sent.at > end) wrong = "the packet came too late";
    if (!wrong.empty())
      return fail(event.line, wrong + wanted() + "\n  actual    " + to_string(actual) +
                                  fmt::format(" at {:.6f}", seconds(sent.at)));
    last_ = is_any_time ? std::max(last_, sent.at) : earliest;
    return true;
  }

  /// The next packet; equal-sized ones that follow on each other count as one, as far as the
  /// expected length goes, for a stack may segment late (TSO).
  SentSegment take_packet(const TcpPacket& expected, Instant end) {
    SentSegment whole = std::move(queue_.front());
    queue_.pop_front();
    const std::size_t piece = whole.payload.size();
    while (whole.payload.size() < expected.payload && wait_for_packet(end)) {
      const SentSegment& next = queue_.front();
      const bool follows = next.flow == whole.flow && next.header.seq == whole.end() &&
                           next.payload.size() <= piece && !whole.has(wire::kSyn | wire::kFin) &&
                           whole.payload.size() % piece == 0 &&
                           whole.payload.size() + next.payload.size() <= expected.payload;
      const auto unlike = static_cast<std::uint8_t>(whole.header.flags & ~next.header.flags);
      if (piece == 0 || !follows || unlike != 0) break;
      whole.header.flags = next.header.flags;
      whole.header.ack = next.header.ack;
      whole.header.window = next.header.window;
      whole.payload.insert(whole.payload.end(), next.payload.begin(), next.payload.end());
      whole.at = next.at;
      queue_.pop_front();
    }
    return whole;
  }

  void clean_up() {
    rig_->require_clean();
    const unsigned left = rig_->pools().mbufs_out();
    rig_.reset();
    if (left > 0 && !failure_)
      failure_ = Failure{script_.events.back().line, fmt::format("{} mbufs have leaked", left)};
  }

  const Script& script_;
  const Isns& isns_;
  Settings settings_;
  Instant start_;
  std::optional<Instant> now_;  ///< While there is no engine yet.
  Instant last_;                ///< The scripted time of the event before.
  bool was_inbound_ = false;    ///< That event was an inbound packet.
  std::unique_ptr<TcpRig> rig_;
  Sockets sockets_;
  std::deque<Translation> translations_;  // references stay valid
  std::deque<SentSegment> queue_;         ///< Sent and not yet expected.
  std::deque<std::string> history_;
  std::optional<Failure> failure_;  ///< Set once: it ends the run.
};

}  // namespace

std::optional<Failure> run(const Script& script, const Isns& isns) {
  return Runner(script, isns).run();
}

}  // namespace sluice::script
