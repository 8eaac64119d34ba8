// What the flight recorder is told: cold code, kept out of context.cpp.

#include "tcp/context.hpp"

namespace sluice::tcp {

void Context::record_flow(const FlowKey& flow, std::uint64_t hash, std::uint32_t index, SeqNum iss,
                          SeqNum irs) {
  telemetry::RecorderEvent event{};
  event.time = now.ns();
  event.flow = hash;
  event.kind = telemetry::EventKind::kFlow;
  auto& info = event.flow_info;
  if (flow.is_v4()) {
    info.local4 = flow.local.v4().value;
    info.remote4 = flow.remote.v4().value;
  }
  info.local_port = flow.local_port.value;
  info.remote_port = flow.remote_port.value;
  info.is_v6 = flow.is_v4() ? 0 : 1;
  info.connection = index;
  info.generation = index == kNoIndex ? 0 : tcbs[index].generation;
  info.iss = iss.value();
  info.irs = irs.value();
  event.state =
      static_cast<std::uint8_t>(index == kNoIndex ? State::kSynReceived : tcbs[index].state);
  recorder.record(event);
}

void Context::record_transition(std::uint64_t hash, State from, State to) {
  telemetry::RecorderEvent event{};
  event.time = now.ns();
  event.flow = hash;
  event.kind = telemetry::EventKind::kTransition;
  event.state = static_cast<std::uint8_t>(from);
  event.state_to = static_cast<std::uint8_t>(to);
  recorder.record(event);
}

void Context::record_segment(telemetry::EventKind kind, std::uint64_t hash, const Tcb* block,
                             const wire::TcpHeader& header, std::uint32_t window,
                             std::uint32_t payload, Outcome outcome, bool is_retransmission) {
  telemetry::RecorderEvent event{};
  event.time = now.ns();
  event.flow = hash;
  event.kind = kind;
  event.flags = header.flags;
  event.outcome = static_cast<std::uint16_t>(outcome);
  event.is_retransmission = is_retransmission ? 1 : 0;
  event.segment.seq = header.seq.value();
  event.segment.ack = header.ack.value();
  event.segment.window = window;
  event.segment.payload = payload;
  if (block != nullptr) {
    event.state = static_cast<std::uint8_t>(block->state);
    event.segment.snd_una = block->snd.una.value();
    event.segment.snd_nxt = block->snd.nxt.value();
    event.segment.rcv_nxt = block->rcv.nxt.value();
    event.segment.cwnd = block->cwnd;
  }
  recorder.record(event);
}

void Context::record_detail(telemetry::EventKind kind, const Tcb& block, std::uint8_t detail) {
  telemetry::RecorderEvent event{};
  event.time = now.ns();
  event.flow = hash_of(flow_of(block));
  event.kind = kind;
  event.state = static_cast<std::uint8_t>(block.state);
  event.detail = detail;
  recorder.record(event);
}

}  // namespace sluice::tcp
