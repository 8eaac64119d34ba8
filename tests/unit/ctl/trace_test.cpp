#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sluice/errors.hpp"
#include "tests/unit/ctl/fake_instance.hpp"
#include "wire/tcp.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using tcp::State;
using telemetry::Outcome;
using telemetry::TimerKind;
using telemetry::UserCall;
using wire::kAck;
using wire::kFin;
using wire::kPsh;
using wire::kRst;
using wire::kSyn;

/// The echo of four octets, the server closing first, to the end of its TIME-WAIT.
void write_server_closes_first(FlowWriter& writer) {
  writer.at_us(0)
      .opens_passively()
      .at_us(420)
      .receives({.flags = kPsh | kAck, .seq = 1, .ack = 1, .payload = 4})
      .user(UserCall::kSend)
      .sends({.flags = kPsh | kAck, .seq = 1, .ack = 5, .payload = 4})
      .at_us(730)
      .receives({.flags = kAck, .seq = 5, .ack = 5})
      .at_us(1100)
      .user(UserCall::kClose)
      .moves(State::kEstablished, State::kFinWait1)
      .sends({.flags = kFin | kAck, .seq = 5, .ack = 5})
      .at_us(1400)
      .moves(State::kFinWait1, State::kFinWait2)
      .receives({.flags = kAck, .seq = 5, .ack = 6})
      .at_us(1500)
      .moves(State::kFinWait2, State::kTimeWait)
      .receives({.flags = kFin | kAck, .seq = 5, .ack = 6})
      .sends({.flags = kAck, .seq = 6, .ack = 6})
      .at_us(2001500)
      .timer(TimerKind::kTimeWait)
      .moves(State::kTimeWait, State::kClosed);
}

/// The lines of a text, for looking at their order.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string line_with(const std::string& text, const std::string& part) {
  for (const std::string& line : lines_of(text))
    if (line.find(part) != std::string::npos) return line;
  return {};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a trace tells the whole life of a connection that the server closes first",
          "[ctl][trace]") {
  FakeInstance instance("trace");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  const CommandResult result =
      run({"trace", "--instance", instance.name(), "10.0.0.2:7-10.0.0.1:40000"});
  CAPTURE(result.out, result.err);
  REQUIRE(result.code == 0);
  CHECK_THAT(result.out, Contains("10.0.0.2:7 - 10.0.0.1:40000") && Contains("connection 0.3") &&
                             Contains("passive open"));
  // The cause stands on the line of its effect, with both states after it.
  CHECK_THAT(line_with(result.out, "<- SYN "), Contains("SYN-RECEIVED") && Contains("~SYN-SENT") &&
                                                   Contains("(LISTEN -> SYN-RECEIVED)") &&
                                                   Contains("seq=0"));
  CHECK_THAT(line_with(result.out, "-> SYN,ACK"), Contains("seq=0 ack=1"));
  CHECK_THAT(line_with(result.out, "user: close()"),
             Contains("0.001100") && Contains("(ESTABLISHED -> FIN-WAIT-1)"));
  CHECK_THAT(line_with(result.out, "(FIN-WAIT-1 -> FIN-WAIT-2)"),
             Contains("<- ACK seq=5 ack=6") && Contains("~CLOSE-WAIT"));
  CHECK_THAT(line_with(result.out, "<- FIN,ACK"), Contains("TIME-WAIT") && Contains("~LAST-ACK"));
  CHECK_THAT(line_with(result.out, "-> ACK seq=6 ack=6"), Contains("~CLOSED"));
  CHECK_THAT(lines_of(result.out).back(),
             Contains("timer: 2 MSL") && Contains("2.001500") && Contains("TIME-WAIT -> CLOSED"));
}

TEST_CASE("segments of one burst have each its own effects, in the text and in the picture",
          "[ctl][trace]") {
  FakeInstance instance("burst");
  FlowWriter writer(instance, 77);
  writer.at_us(0)
      .flow()
      .moves(State::kListen, State::kSynReceived)
      .receives({.flags = kSyn, .outcome = Outcome::kSynQueued})
      .sends({.flags = kSyn | kAck, .ack = 1})
      .at_us(200)
      .flow(4)
      .moves(State::kSynReceived, State::kEstablished)
      .receives({.flags = kAck, .seq = 1, .ack = 1, .outcome = Outcome::kHandshakeCompleted})
      .receives({.flags = kAck, .seq = 1, .ack = 1, .payload = 1448})
      .moves(State::kEstablished, State::kCloseWait)
      .receives({.flags = kFin | kPsh | kAck, .seq = 1449, .ack = 1, .payload = 552});
  const std::string path = "/tmp/" + instance.name() + ".svg";
  const CommandResult result = run({"trace", "--instance", instance.name(), "last", "--svg", path});
  const std::string svg = read_file(path);
  ::unlink(path.c_str());
  CAPTURE(result.out);
  CHECK_THAT(line_with(result.out, "<- ACK seq=1 ack=1 win=64240  ("),
             Contains("ESTABLISHED") && Contains("(SYN-RECEIVED -> ESTABLISHED)"));
  CHECK_THAT(line_with(result.out, "len=1448"), Contains("ESTABLISHED") && !Contains("->"));
  CHECK_THAT(line_with(result.out, "len=552"), Contains("CLOSE-WAIT") &&
                                                   Contains("(ESTABLISHED -> CLOSE-WAIT)") &&
                                                   !Contains("SYN-RECEIVED"));
  CHECK_THAT(svg, Contains(">ESTABLISHED<") && Contains(">CLOSE-WAIT<"));
}

TEST_CASE("the picture has each of several states that one segment led to", "[ctl][picture]") {
  // The segment that completes the handshake brings the client's FIN.
  FakeInstance instance("several");
  FlowWriter writer(instance, 77);
  writer.at_us(0)
      .flow()
      .moves(State::kListen, State::kSynReceived)
      .receives({.flags = kSyn, .outcome = Outcome::kSynQueued})
      .sends({.flags = kSyn | kAck, .ack = 1})
      .at_us(200)
      .flow(4)
      .moves(State::kSynReceived, State::kEstablished)
      .receives({.flags = kFin | kAck, .seq = 1, .ack = 1, .outcome = Outcome::kHandshakeCompleted})
      .moves(State::kEstablished, State::kCloseWait);
  const std::string path = "/tmp/" + instance.name() + ".svg";
  const CommandResult result = run({"trace", "--instance", instance.name(), "last", "--svg", path});
  const std::string svg = read_file(path);
  ::unlink(path.c_str());
  CHECK_THAT(line_with(result.out, "<- FIN,ACK"),
             Contains("(SYN-RECEIVED -> ESTABLISHED)") && Contains("(ESTABLISHED -> CLOSE-WAIT)"));
  CHECK_THAT(svg, Contains(">ESTABLISHED<") && Contains(">CLOSE-WAIT<"));
}

TEST_CASE("options of trace and conns that mean nothing are refused, and say what would",
          "[ctl][trace][conns]") {
  FakeInstance instance("misuse");
  FlowWriter(instance, 77).at_us(0).opens_passively();
  const CommandResult none =
      run({"trace", "--instance", instance.name(), "last", "--max-segments", "0"});
  CHECK(none.code == 2);
  CHECK_THAT(none.err, Contains("--max-segments is 1 at least"));
  const CommandResult port = run({"conns", "--instance", instance.name(), "--port", "0"});
  CHECK(port.code == 2);
  CHECK_THAT(port.err, Contains("1 to 65535"));
  const CommandResult order = run({"--instance", instance.name(), "conns"});
  CHECK(order.code == 2);
  CHECK_THAT(order.err, Contains("the command comes first"));
  const std::string help = run({"trace", "--help"}).out;
  CHECK(help.find("(default: 60)") != std::string::npos);
  CHECK(help.find("(default: 60)") == help.rfind("(default: 60)"));
}

TEST_CASE("--absolute shows the numbers of the wire", "[ctl][trace]") {
  FakeInstance instance("absolute");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  const CommandResult result = run({"trace", "--instance", instance.name(), "last", "--absolute"});
  CHECK_THAT(result.out,
             Contains("<- SYN seq=5000") && Contains("-> SYN,ACK seq=4294967280 ack=5001"));
}

TEST_CASE("a connection can be named in four ways", "[ctl][trace]") {
  FakeInstance instance("select");
  FlowWriter(instance, 1, 40001).at_us(0).opens_passively(4);
  FlowWriter(instance, 2, 40002).at_us(900).opens_passively(5);
  const auto trace = [&instance](const std::string& conn) {
    return run({"trace", "--instance", instance.name(), conn});
  };
  CHECK_THAT(trace("10.0.0.2:7-10.0.0.1:40001").out, Contains("10.0.0.1:40001"));
  CHECK_THAT(trace("10.0.0.1:40001").out, Contains("10.0.0.1:40001"));
  CHECK_THAT(trace("4").out, Contains("10.0.0.1:40001"));
  CHECK_THAT(trace("last").out, Contains("10.0.0.1:40002"));

  CHECK(trace("10.0.0.1:9").code == 1);
  CHECK_THAT(trace("10.0.0.1:9").err, Contains("holds no connection '10.0.0.1:9'"));
  CHECK(trace("17").code == 1);
  CHECK(trace("nonsense").code == 2);
  CHECK(trace("10.0.0.2:7-nonsense").code == 2);
}

TEST_CASE("of a 4-tuple used again the last life is shown, with --all-lives each", "[ctl][trace]") {
  FakeInstance instance("lives");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  writer.at_us(5'000'000).flow().moves(State::kListen, State::kSynReceived);
  writer.receives({.flags = kSyn, .outcome = Outcome::kSynQueued});
  writer.moves(State::kSynReceived, State::kListen);

  const CommandResult last = run({"trace", "--instance", instance.name(), "10.0.0.1:40000"});
  CHECK_THAT(last.out,
             Contains("life 2 of 2") && !Contains("TIME-WAIT") && !Contains("connection"));
  const CommandResult all =
      run({"trace", "--instance", instance.name(), "10.0.0.1:40000", "--all-lives"});
  CHECK_THAT(all.out, Contains("life 1 of 2") && Contains("life 2 of 2") && Contains("TIME-WAIT"));
}

TEST_CASE("drops and refusals are told with their reason, and prove nothing of the peer",
          "[ctl][trace]") {
  FakeInstance instance("drops");
  FlowWriter writer(instance, 77);
  writer.at_us(0).opens_passively();
  writer.at_us(500).receives({.flags = kRst, .seq = 90000, .outcome = Outcome::kRstOutside});
  writer.at_us(600).receives({.flags = kRst, .seq = 2, .outcome = Outcome::kRstChallenged});
  writer.at_us(700).closed(static_cast<std::uint8_t>(CloseReason::kReset));
  writer.moves(State::kEstablished, State::kClosed);
  writer.receives({.flags = kRst, .seq = 1, .outcome = Outcome::kRstAccepted});
  const CommandResult result = run({"trace", "--instance", instance.name(), "last"});
  CHECK_THAT(line_with(result.out, "seq=90000"),
             Contains("dropped: RST outside the window") && Contains("~ESTABLISHED"));
  CHECK_THAT(line_with(result.out, "seq=2"), Contains("refused: ") && Contains("~ESTABLISHED"));
  CHECK_THAT(line_with(result.out, "seq=1 win=64240  (ESTABLISHED -> CLOSED)"),
             Contains("~CLOSED") && Contains("ended: reset by the peer"));
}

TEST_CASE("a flow that is not traced shows its state changes alone", "[ctl][trace]") {
  FakeInstance instance("untraced");
  FlowWriter(instance, 9)
      .at_us(0)
      .flow()
      .moves(State::kListen, State::kSynReceived)
      .at_us(100)
      .flow(2)
      .moves(State::kSynReceived, State::kEstablished);
  const CommandResult result = run({"trace", "--instance", instance.name(), "2"});
  REQUIRE(result.code == 0);
  CHECK_THAT(result.out, Contains("(LISTEN -> SYN-RECEIVED)") &&
                             Contains("(SYN-RECEIVED -> ESTABLISHED)") && !Contains("~S"));
}

TEST_CASE("--raw gives the events as JSON with the numbers of the wire", "[ctl][trace]") {
  FakeInstance instance("raw");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  const CommandResult result = run({"trace", "--instance", instance.name(), "last", "--raw"});
  const auto json = nlohmann::json::parse(result.out);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["iss"] == kIss);
  CHECK(json[0]["irs"] == kIrs);
  CHECK(json[0]["connection"] == 0);
  const auto& events = json[0]["events"];
  CHECK(events.size() == 21);
  CHECK(events[1]["kind"] == "received");
  CHECK(events[1]["flags"] == "SYN");
  CHECK(events[1]["seq"] == kIrs);
  CHECK(events.back()["to"] == "CLOSED");
}

TEST_CASE("the picture has every segment, both ends' states and the table", "[ctl][picture]") {
  FakeInstance instance("picture");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  const std::string path = "/tmp/" + instance.name() + ".svg";
  const CommandResult result = run({"trace", "--instance", instance.name(), "last", "--svg", path});
  const std::string svg = read_file(path);
  ::unlink(path.c_str());
  REQUIRE(result.code == 0);
  CHECK_THAT(svg, Contains("</svg>") && Contains("SYN ACK") && Contains("seq 0  ack 1") &&
                      Contains("~ LAST-ACK") && Contains(">TIME-WAIT<") &&
                      Contains("States over time") && Contains("2 MSL timer"));
  // Twice in the diagram's half and the table: pill and pill.
  std::size_t pills = 0;
  for (std::size_t at = svg.find(">FIN-WAIT-2<"); at != std::string::npos;
       at = svg.find(">FIN-WAIT-2<", at + 1))
    ++pills;
  CHECK(pills == 2);
}

TEST_CASE("a long connection's picture leaves out the middle and says how much", "[ctl][picture]") {
  FakeInstance instance("long");
  FlowWriter writer(instance, 77);
  writer.at_us(0).opens_passively();
  for (std::uint32_t i = 0; i < 500; ++i) {
    writer.at_us(1000 + 10 * i)
        .receives({.flags = kAck, .seq = 1 + 1000 * i, .ack = 1, .payload = 1000});
    writer.sends({.flags = kAck, .seq = 1, .ack = 1001 + 1000 * i});
  }
  const std::string path = "/tmp/" + instance.name() + ".svg";
  const CommandResult result =
      run({"trace", "--instance", instance.name(), "last", "--svg", path, "--max-segments", "20"});
  const std::string svg = read_file(path);
  ::unlink(path.c_str());
  REQUIRE(result.code == 0);
  CHECK_THAT(svg, Contains("991 segments") && Contains("0 octets sent, 495000 octets received"));
}

TEST_CASE("a picture that cannot be written is one line and exit code 1", "[ctl][picture]") {
  FakeInstance instance("unwritable");
  FlowWriter(instance, 77).at_us(0).opens_passively();
  const CommandResult result =
      run({"trace", "--instance", instance.name(), "last", "--svg", "/nonexistent/x.svg"});
  CHECK(result.code == 1);
  CHECK_THAT(result.err, Contains("/nonexistent/x.svg: No such file"));
}

TEST_CASE("a dead process's last connection is traced as well", "[ctl][trace]") {
  FakeInstance instance("dead-trace");
  FlowWriter writer(instance, 77);
  write_server_closes_first(writer);
  instance.die();
  const CommandResult result = run({"trace", "--instance", instance.name(), "last"});
  CHECK(result.code == 0);
  CHECK_THAT(result.err, Contains("is dead"));
  CHECK_THAT(result.out, Contains("TIME-WAIT -> CLOSED"));
}
