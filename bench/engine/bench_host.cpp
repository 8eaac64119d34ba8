#include "bench/engine/bench_host.hpp"

#include <rte_cycles.h>

#include "bench/engine/template_peer.hpp"

namespace sluice::bench {

stack::StackConfig BenchHost::default_config() {
  stack::StackConfig config;
  stack::InterfaceConfig interface;
  interface.addresses = {{kServer, 24}};
  interface.neighbors = {{kClient, kClientMac}};
  interface.routes = {{Prefix{Ipv4Addr{}, 0}, kClient, {}}};
  config.interfaces = {interface};
  config.tcp.max_connections = 4096;
  config.tcp.max_half_open = 1024;
  config.tcp.max_time_wait = 1024;
  config.tcp.recorder_events = 4096;
  return config;
}

BenchHost::BenchHost(const stack::StackConfig& config, const std::string& name)
    : pools_({.name = name, .receive_pkts = 4096, .control_pkts = 2048, .indirect_pkts = 2048}) {
  std::vector<telemetry::SectionPlan> plan;
  stack::Stack::plan_state(config, 0, plan);
  region_ = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(plan));
  const stack::StackDeps deps{.region = *region_, .pools = pools_.get(), .secrets = {}, .seed = 1};
  stack_ = std::make_unique<stack::Stack>(config, deps, now_);
  packet::PortCapabilities capabilities;
  capabilities.tx_ipv4_checksum = capabilities.tx_tcp_checksum = capabilities.rx_checksum = true;
  capabilities.tx_multi_segment = true;
  port_ = stack_->attach(capabilities, kServerMac, 0);
}

void BenchHost::run(std::span<rte_mbuf* const> frames, std::vector<rte_mbuf*>& answers) {
  now_ = now_ + Duration::from_us(10);
  const std::uint64_t began = rte_rdtsc();
  turn(frames, answers);
  cycles_ += rte_rdtsc() - began;
}

void BenchHost::turn(std::span<rte_mbuf* const> frames, std::vector<rte_mbuf*>& answers) {
  if (!frames.empty()) stack_->receive(port_, frames, now_);
  stack_->advance(now_);
  rte_mbuf* out[64];
  for (;;) {
    const std::size_t count = stack_->transmit(port_, out, now_);
    answers.insert(answers.end(), out, out + count);
    if (count < std::size(out)) break;
  }
  stack_->publish(now_);
}

}  // namespace sluice::bench
