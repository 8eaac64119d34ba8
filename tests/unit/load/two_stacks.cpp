#include "tests/unit/load/two_stacks.hpp"

#include <rte_mbuf.h>

namespace load::test {

using sluice::Duration;
using sluice::HashKey;
using sluice::Instant;
using sluice::IpAddr;
using sluice::Ipv4Addr;
using sluice::MacAddr;
using sluice::Prefix;
using sluice::stack::Stack;
using sluice::support::TestPools;

namespace {

constexpr unsigned kAddresses = 4;

MacAddr mac_of(unsigned host) {
  return MacAddr{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(host + 1)}};
}

HashKey key(std::uint8_t value) {
  HashKey made;
  made.octets.fill(static_cast<decltype(made.octets)::value_type>(value));
  return made;
}

}  // namespace

IpAddr TwoStacks::address(unsigned host, unsigned number) {
  return Ipv4Addr::from_octets(10, 0, static_cast<std::uint8_t>(host),
                               static_cast<std::uint8_t>(number + 1));
}

TwoStacks::TwoStacks() : pools_{TestPools({.receive = 2048}), TestPools({.receive = 2048})} {
  make(0);
  make(1);
}

TwoStacks::~TwoStacks() {
  for (Host& host : hosts_) host.stack.reset();
}

void TwoStacks::make(unsigned host) {
  sluice::stack::InterfaceConfig interface;
  for (unsigned number = 0; number < kAddresses; ++number) {
    interface.addresses.push_back(Prefix{address(host, number), 16});
    interface.neighbors.push_back({address(1 - host, number), mac_of(1 - host)});
  }
  sluice::stack::StackConfig config;
  config.interfaces = {interface};
  config.receive_low_watermark_pkts = 16;
  config.tcp.max_connections = 256;
  config.tcp.max_half_open = 256;
  config.tcp.max_time_wait = 4096;
  config.tcp.max_in_flight = 256;
  config.tcp.recorder_events = 0;
  config.tcp.nodelay = true;
  std::vector<sluice::telemetry::SectionPlan> sections;
  Stack::plan_state(config, 0, sections);
  Host& self = hosts_[host];
  self.region = std::make_unique<sluice::telemetry::StateRegion>(
      sluice::telemetry::StateRegion::anonymous(sections));
  self.stack =
      std::make_unique<Stack>(config,
                              sluice::stack::StackDeps{.region = *self.region,
                                                       .pools = pools_[host].pools(),
                                                       .secrets = {key(1), key(2), key(4), key(5)},
                                                       .seed = host},
                              now_);
  self.port = self.stack->attach({.tx_multi_segment = true}, mac_of(host), 0);
  self.stack->advance(now_);
}

void TwoStacks::round(unsigned host) {
  Host& self = hosts_[host];
  while (!self.coming.empty() && self.coming.front().arrival <= now_) {
    rte_mbuf* mbuf =
        sluice::support::make_packet(pools_[host].receive(), self.coming.front().octets).release();
    self.coming.pop_front();
    self.stack->receive(self.port, std::span(&mbuf, 1), now_);
  }
  self.stack->advance(now_);
  std::array<rte_mbuf*, 32> frames;
  for (;;) {
    const std::size_t count = self.stack->transmit(self.port, frames, now_);
    for (rte_mbuf* const frame : std::span(frames).first(count)) {
      hosts_[1 - host].coming.push_back({now_ + kOneWay, sluice::support::octets_of(*frame)});
      rte_pktmbuf_free(frame);
    }
    if (count < frames.size()) return;
  }
}

void TwoStacks::run_for(Duration span) {
  for (const Instant end = now_ + span; now_ < end; now_ = now_ + kStep) {
    round(0);
    if (now_ >= paused_until_) round(1);
  }
}

void TwoStacks::end_client() {
  hosts_[0].stack->begin_drain(now_);
  run_for(Duration::from_ms(5));
  while (!hosts_[0].stack->is_drained()) {
    hosts_[0].stack->reset_all(now_);
    run_for(Duration::from_ms(1));
  }
}

}  // namespace load::test
