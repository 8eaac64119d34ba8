#include "tests/packetdrill/virtual_stack.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "base/timer_wheel.hpp"
#include "stack/impl.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::packetdrill {
namespace {

constexpr MacAddr kOurMac{{0x02, 0, 0, 0, 0, 0x01}};
constexpr MacAddr kGatewayMac{{0x02, 0, 0, 0, 0, 0xfe}};
constexpr std::size_t kFlagsOffset = 13;  // of the TCP header
constexpr int kMaxRounds = 1000;          // within one step; more is a loop of the stack's own

// The same secrets in every run: results repeat.
HashKey key_of(std::uint8_t fill) {
  HashKey key;
  key.octets.fill(fill);
  return key;
}

/// What a server ships with, in tables that mlockall() may lock.
stack::StackConfig make_config(const Settings& settings) {
  stack::InterfaceConfig interface;
  const Ipv4Addr gateway{(settings.address.value & 0xffff0000u) | 0xfffeu};
  interface.addresses = {{settings.address, 16}};
  interface.routes = {{{Ipv4Addr{}, 0}, gateway}};
  interface.neighbors = {{gateway, kGatewayMac}};

  stack::StackConfig config;
  config.interfaces = {interface};
  config.max_neighbors = 16;
  config.max_routes = 16;
  config.receive_low_watermark_pkts = 64;
  config.tcp.max_connections = 64;
  config.tcp.max_half_open = 64;
  config.tcp.max_accept_queue = 64;
  config.tcp.max_time_wait = 64;
  config.tcp.max_listeners = 16;
  config.tcp.max_in_flight = 64;
  config.tcp.recorder_events = 0;
  // The suites know Linux with its usual cap: a window scale of 8.
  config.tcp.receive_buffer_bytes = 15 << 20;
  config.tcp.send_buffer_bytes = 4 << 20;
  return config;
}

}  // namespace

VirtualStack::VirtualStack(const Settings& settings)
    : settings_(settings),
      pools_({.receive = 8192, .control = 1024, .indirect = 8192}),
      now_(Instant::from_ns(Duration::from_s(1000).ns())),
      stepped_at_(now_) {
  const stack::StackConfig config = make_config(settings);
  std::vector<telemetry::SectionPlan> sections;
  stack::Stack::plan_state(config, 0, sections);
  region_ = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(sections));
  stack_ = std::make_unique<stack::Stack>(
      config,
      stack::StackDeps{.region = *region_,
                       .pools = pools_.pools(),
                       .secrets = {key_of(1), key_of(2), key_of(4), key_of(5)},
                       .seed = 1,
                       .worker = 0},
      now_);
  port_ = stack_->attach(packet::PortCapabilities{}, kOurMac, 0);
}

VirtualStack::~VirtualStack() = default;

tcp::Context& VirtualStack::context() {
  return stack_->impl().engine.context();
}

Instant VirtualStack::glance() {
  now_ = now_ + Duration::from_us(1);
  return now_;
}

void VirtualStack::run_until(Instant target) {
  for (;;) {
    Instant next = stack_->next_deadline();
    // A deadline that has come already is being worked on: a tick on.
    if (next <= stepped_at_) next = stepped_at_ + kTickLength;
    if (next > target) break;
    now_ = std::max(now_, next);
    step(next);
  }
  now_ = std::max(now_, target);
  if (stepped_at_ < target) step(target);
}

bool VirtualStack::run_to_next_deadline(Instant limit) {
  const Instant next = stack_->next_deadline();
  if (next > limit) return false;
  run_until(next <= stepped_at_ ? stepped_at_ + kTickLength : next);
  return true;
}

void VirtualStack::step(Instant at) {
  stepped_at_ = std::max(stepped_at_, at);
  for (int round = 0; round < kMaxRounds; ++round) {
    stack_->advance(stepped_at_);
    collect();
    const bool is_called = on_step_ && on_step_();
    if (!is_called && !stack_->has_work()) break;
  }
  stack_->publish(stepped_at_);
}

void VirtualStack::receive(std::span<const std::byte> packet) {
  catch_up();
  std::vector<std::byte> frame(wire::kEthernetHeader);
  wire::emit_ethernet(
      {.destination = kOurMac, .source = kGatewayMac, .ether_type = wire::ether_type::kIpv4},
      frame);
  frame.insert(frame.end(), packet.begin(), packet.end());
  // A segment may be larger than an mbuf, as one that a NIC has merged.
  constexpr std::size_t kPiece = 2048;
  std::vector<std::vector<std::byte>> pieces;
  for (std::span<const std::byte> rest = frame; !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPiece));
    pieces.emplace_back(piece.begin(), piece.end());
    rest = rest.subspan(piece.size());
  }
  rte_mbuf* const mbuf = support::make_packet(pools_.receive(), pieces).release();
  stack_->receive(port_, {&mbuf, 1}, now_);
  settle();
}

void VirtualStack::collect() {
  std::array<rte_mbuf*, 64> frames;
  while (const std::size_t count = stack_->transmit(port_, frames, stepped_at_)) {
    for (rte_mbuf* const frame : std::span(frames).first(count)) {
      take_frame(support::octets_of(*frame));
      rte_pktmbuf_free(frame);
    }
  }
}

void VirtualStack::take_frame(std::span<const std::byte> frame) {
  const auto packet = frame.subspan(wire::kEthernetHeader);
  const auto header = wire::parse_ipv4(packet);
  if (!header) return;  // ARP: the neighbours of a script are all pinned
  SentPacket seen{stepped_at_, {packet.begin(), packet.begin() + header->total_length}};
  if (header->protocol == wire::ip_protocol::kTcp) {
    const std::span segment = std::span(seen.octets).subspan(header->header_length);
    wire::Checksum sum;
    sum.add_pseudo_header(header->source, header->destination, wire::ip_protocol::kTcp,
                          header->payload_length());
    sum.add(segment);
    if (sum.finish() != 0) has_wrong_checksum_ = true;
    if (settings_.mask_psh) segment[kFlagsOffset] &= ~std::byte{wire::kPsh};
  }
  sent.push_back(std::move(seen));
}

}  // namespace sluice::packetdrill
