#pragma once

// A whole stack::Stack on a virtual clock with one client that speaks in frames, and the handlers
// of an application that does what the test says: what a test of the public API starts from.

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sluice/worker.hpp"
#include "stack/impl.hpp"
#include "stack/stack.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::testing {

inline stack::StackConfig small_stack() {
  stack::StackConfig config;
  stack::InterfaceConfig interface;
  interface.addresses = {*parse_prefix("10.0.0.2/24")};
  interface.neighbors = {{*parse_ip("10.0.0.1"), support::Endpoints{}.source_mac}};
  config.interfaces = {interface};
  config.tcp = support::TcpRig::small_config();
  config.receive_low_watermark_pkts = 16;
  return config;
}

inline telemetry::StateRegion make_region(const stack::StackConfig& config) {
  std::vector<telemetry::SectionPlan> plan;
  stack::Stack::plan_state(config, 0, plan);
  return telemetry::StateRegion::anonymous(plan);
}

/// A stack, and one client of its port 80 that speaks in frames.
struct StackRig {
  stack::StackConfig config;
  telemetry::StateRegion region = make_region(config);
  Instant now = Instant::from_ns(1'000'000'000);
  std::unique_ptr<stack::Stack> stack;
  Port port{40000};  ///< The client's.
  wire::SeqNum nxt{5000}, una{};
  std::vector<support::ParsedFrame> sent;

  StackRig() : StackRig(small_stack()) {}
  explicit StackRig(const stack::StackConfig& wanted) : config(wanted) {
    stack = std::make_unique<stack::Stack>(
        config,
        stack::StackDeps{
            .region = region, .pools = support::shared_pools().pools(), .secrets = {}, .seed = 1},
        now);
    stack->attach({.tx_multi_segment = true}, support::Endpoints{}.destination_mac, 0);
  }
  ~StackRig() {
    stack.reset();
    CHECK(support::shared_pools().mbufs_out() == 0);
  }

  Worker worker() { return stack->worker(); }

  void round() {
    for (int i = 0; i < 4; ++i) {
      stack->advance(now);
      rte_mbuf* out[64];
      while (const std::size_t count = stack->transmit(0, out, now)) {
        for (std::size_t j = 0; j < count; ++j) {
          auto parsed = support::parse_frame(support::octets_of(*packet::PacketPtr(out[j])));
          REQUIRE(parsed);
          if (parsed->tcp) {
            una = parsed->tcp->seq + static_cast<std::uint32_t>(parsed->payload.size()) +
                  (parsed->tcp->has(wire::kSyn | wire::kFin) ? 1u : 0u);
            sent.push_back(*parsed);
          }
        }
      }
    }
    stack->publish(now);
  }
  void wait(Duration span) {
    const Instant end = now + span;
    while (now < end) {
      now = std::min(end, std::max(now + kTickLength, stack->next_deadline()));
      round();
    }
  }
  void client(std::uint8_t flags, std::size_t payload = 0, std::uint16_t urgent = 0) {
    support::TcpFrame frame;
    frame.tcp.source = port;
    frame.tcp.destination = Port{80};
    frame.tcp.seq = nxt;
    frame.tcp.ack = (flags & wire::kAck) ? una : wire::SeqNum{};
    frame.tcp.flags = flags;
    frame.tcp.window = 8192;
    frame.tcp.urgent_pointer = urgent;
    frame.payload = support::pattern(payload);
    nxt += static_cast<std::uint32_t>(payload) + ((flags & (wire::kSyn | wire::kFin)) ? 1u : 0u);
    give(support::build(frame));
  }
  void give(const support::Octets& frame) {
    rte_mbuf* frames[] = {support::make_packet(support::shared_pools().receive(), frame).release()};
    stack->receive(0, frames, now);
    round();
  }
  void connect() {
    client(wire::kSyn);
    client(wire::kAck);
  }
  bool has_sent(std::uint8_t flag) const {
    for (const auto& frame : sent)
      if (frame.tcp->has(flag)) return true;
    return false;
  }
};

/// Calls what the test gives it.
struct Scripted : StreamHandler {
  std::function<void(Stream)> opened, readable, peer_closed;
  std::function<void(Stream, RxData&)> data;
  std::function<void(Stream, CloseReason)> closed;
  std::vector<std::string> calls;

  void on_open(Stream stream) override {
    calls.push_back("open");
    if (opened) opened(stream);
  }
  void on_data(Stream stream, RxData& octets) override {
    calls.push_back("data");
    if (data) return data(stream, octets);
    octets.consume(octets.size());
  }
  void on_peer_closed(Stream stream) override {
    calls.push_back("peer closed");
    if (peer_closed) return peer_closed(stream);
    static_cast<void>(stream.close());
  }
  void on_closed(Stream stream, CloseReason reason) override {
    calls.push_back("closed");
    if (closed) closed(stream, reason);
  }
};

/// Accepts with one handler.
struct Accepting : ListenerHandler {
  StreamHandler* handler = nullptr;
  Stream last;
  void on_acceptable(Listener listener) override {
    while (auto stream = listener.accept(handler)) last = *stream;
  }
};

using Calls = std::vector<std::string>;

}  // namespace sluice::testing
