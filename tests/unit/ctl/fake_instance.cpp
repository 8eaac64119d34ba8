#include "tests/unit/ctl/fake_instance.hpp"

#include <unistd.h>

#include <array>

#include "ip/address_table.hpp"
#include "ip/route_table.hpp"
#include "link/neighbor_record.hpp"
#include "stack/port_record.hpp"
#include "tcp/gate/gate_record.hpp"
#include "wire/tcp.hpp"

namespace sluice::ctl::test {

using telemetry::EventKind;
using telemetry::RecorderEvent;
using telemetry::SectionKind;

FakeInstance::FakeInstance(const std::string& suffix, std::uint32_t recorder_events)
    : name_("unit-ctl-" + suffix + "-" + std::to_string(::getpid())) {
  const std::array<telemetry::SectionPlan, 18> plan = {{
      {SectionKind::kWorkerInfo, 0, sizeof(telemetry::WorkerInfo), 1},
      {SectionKind::kMetrics, 0, sizeof(telemetry::Metrics), 1},
      {SectionKind::kRecorder, 0, sizeof(telemetry::RecorderHead), 1},
      {SectionKind::kRecorderEvents, 0, sizeof(RecorderEvent), recorder_events},
      {SectionKind::kTcbs, 0, sizeof(tcp::Tcb), 8},
      {SectionKind::kTcbTotals, 0, sizeof(tcp::TcbTotals), 8},
      {SectionKind::kHalfOpen, 0, sizeof(tcp::HalfOpen), 4},
      {SectionKind::kTimeWait4, 0, sizeof(tcp::TimeWait4), 4},
      {SectionKind::kListeners, 0, sizeof(tcp::ListenerRecord), 4},
      {SectionKind::kGate, 0, sizeof(tcp::GateRecord), 4},
      {SectionKind::kTopPrefixes, 0, sizeof(tcp::TopPrefixesRecord), 1},
      {SectionKind::kV6Keys, 0, sizeof(tcp::V6Key), 2},
      {SectionKind::kNeighbors, telemetry::kSharedSection, sizeof(link::NeighborRecord), 4},
      {SectionKind::kNeighborAlarms, 0, sizeof(link::NeighborAlarmRecord), link::kNeighborAlarms},
      {SectionKind::kRoutes, telemetry::kSharedSection, sizeof(ip::RouteRecord), 4},
      {SectionKind::kPorts, telemetry::kSharedSection, sizeof(stack::PortRecord), 3},
      {SectionKind::kPortCounts, 0, sizeof(stack::PortCounts), 3},
      {SectionKind::kAddresses, telemetry::kSharedSection, sizeof(ip::AddressRecord), 4},
  }};
  region_ = std::make_unique<telemetry::StateRegion>(
      telemetry::StateRegion::create(name_, "fake-server", plan));
  path_ = region_->path();
}

FakeInstance::~FakeInstance() {
  ::unlink(path_.c_str());
}

void FakeInstance::die() {
  region_.reset();
}

Instance FakeInstance::at(Instant now) {
  return {name_, telemetry::RegionView::open(name_), true, now};
}

FlowWriter::FlowWriter(FakeInstance& instance, std::uint64_t flow, std::uint16_t remote_port)
    : recorder_(instance.record<telemetry::RecorderHead>(SectionKind::kRecorder),
                instance.region().section<RecorderEvent>(SectionKind::kRecorderEvents, 0)),
      flow_(flow),
      remote_port_(remote_port) {}

RecorderEvent FlowWriter::event(EventKind kind) const {
  RecorderEvent made{};
  made.time = time_ns_;
  made.flow = flow_;
  made.kind = kind;
  made.state = static_cast<std::uint8_t>(state_);
  return made;
}

FlowWriter& FlowWriter::at_us(std::int64_t us) {
  time_ns_ = 1'000'000'000 + us * 1000;
  return *this;
}

FlowWriter& FlowWriter::flow(std::uint32_t connection) {
  RecorderEvent made = event(EventKind::kFlow);
  made.flow_info = {.local4 = 0x0a000002,
                    .remote4 = 0x0a000001,
                    .local_port = 7,
                    .remote_port = remote_port_,
                    .is_v6 = 0,
                    .connection = connection,
                    .generation = connection == tcp::kNoIndex ? 0u : 3u,
                    .iss = kIss,
                    .irs = kIrs};
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::moves(tcp::State from, tcp::State to) {
  RecorderEvent made = event(EventKind::kTransition);
  made.state = static_cast<std::uint8_t>(from);
  made.state_to = static_cast<std::uint8_t>(to);
  state_ = to;
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::receives(const Segment& segment) {
  RecorderEvent made = event(EventKind::kReceived);
  made.flags = segment.flags;
  made.outcome = static_cast<std::uint16_t>(segment.outcome);
  made.segment.seq = kIrs + segment.seq;
  made.segment.ack = (segment.flags & wire::kAck) != 0 ? kIss + segment.ack : 0;
  made.segment.payload = segment.payload;
  made.segment.window = 64240;
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::sends(const Segment& segment) {
  RecorderEvent made = event(EventKind::kSent);
  made.flags = segment.flags;
  made.is_retransmission = segment.is_retransmission ? 1 : 0;
  made.segment.seq = kIss + segment.seq;
  made.segment.ack = (segment.flags & wire::kAck) != 0 ? kIrs + segment.ack : 0;
  made.segment.payload = segment.payload;
  made.segment.window = 65535;
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::timer(telemetry::TimerKind kind) {
  RecorderEvent made = event(EventKind::kTimer);
  made.detail = static_cast<std::uint8_t>(kind);
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::user(telemetry::UserCall call) {
  RecorderEvent made = event(EventKind::kUserCall);
  made.detail = static_cast<std::uint8_t>(call);
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::closed(std::uint8_t reason) {
  RecorderEvent made = event(EventKind::kClosed);
  made.detail = reason;
  recorder_.record(made);
  return *this;
}

FlowWriter& FlowWriter::opens_passively(std::uint32_t connection) {
  using tcp::State;
  return flow()
      .moves(State::kListen, State::kSynReceived)
      .receives({.flags = wire::kSyn, .outcome = telemetry::Outcome::kSynQueued})
      .sends({.flags = wire::kSyn | wire::kAck, .ack = 1})
      .at_us(180)
      .flow(connection)
      .moves(State::kSynReceived, State::kEstablished)
      .receives({.flags = wire::kAck,
                 .seq = 1,
                 .ack = 1,
                 .outcome = telemetry::Outcome::kHandshakeCompleted});
}

CommandResult run(std::vector<std::string> arguments) {
  std::ostringstream out, err;
  CommandResult result;
  result.code = run_sluicectl(arguments, {.out = out, .err = err});
  result.out = out.str();
  result.err = err.str();
  return result;
}

}  // namespace sluice::ctl::test
