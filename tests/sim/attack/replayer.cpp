#include "tests/sim/attack/replayer.hpp"

#include <algorithm>
#include <iterator>

namespace sluice::sim {
namespace {

constexpr std::size_t kRecords = 2000;  // of a world; later frames go by unseen
constexpr std::size_t kFirst = 16;      // kept of a connection's begin ...
constexpr std::size_t kLast = 24;       // ... and of its end
constexpr std::uint64_t kWhole = ~std::uint64_t{0};

Duration up_to(Rng& rng, Duration most) {
  return Duration::from_ns(
      static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(most.ns()))));
}

}  // namespace

Replayer::Replayer(const Scene& scene, const AttackPlan& plan, std::uint64_t seed)
    : Attacker(scene, plan, seed) {
  for (unsigned i = 0; i < 4; ++i) at(some_time(), kWhole);
}

void Replayer::on_passing(unsigned from, const support::ParsedFrame& frame,
                          std::span<const std::byte> octets) {
  if (!frame.is_payload_checksum_right) return;
  FlowId id;
  id[from] = frame.tcp->source.value;
  id[1 - from] = frame.tcp->destination.value;
  Flow& flow = flows_[id];
  note_life(flow, from, frame);
  if (!is_active() || records_.size() >= kRecords) return;
  records_.push_back({{octets.begin(), octets.end()}, from, flow.life, id});
  const std::size_t record = records_.size() - 1;
  keep(flow, record);
  const bool is_mark = frame.tcp->has(wire::kSyn | wire::kFin | wire::kRst);
  if (rng_.chance(1, is_mark ? 3 : 16)) later(some_delay(), record);
}

/// A SYN with another number begins another connection. What is known of the one before goes into
/// it at once.
void Replayer::note_life(Flow& flow, unsigned from, const support::ParsedFrame& frame) {
  if (!frame.tcp->has(wire::kSyn) || frame.tcp->has(wire::kAck)) return;
  if (flow.life > 0 && flow.iss[from] == frame.tcp->seq) return;
  flow.iss[from] = frame.tcp->seq;
  if (++flow.life > 1 && is_active()) {
    replay_whole(flow, Duration::from_ms(1));
    replay_whole(flow, Duration::from_ms(500));
  }
}

void Replayer::keep(Flow& flow, std::size_t record) {
  if (flow.first.size() < kFirst) {
    flow.first.push_back(record);
    return;
  }
  flow.last.push_back(record);
  if (flow.last.size() > kLast) flow.last.pop_front();
}

Duration Replayer::some_delay() {
  switch (rng_.below(3)) {
    case 0:
      return up_to(rng_, Duration::from_ms(20));
    case 1:
      return up_to(rng_, Duration::from_s(2));  // within most worlds' TIME-WAIT
    default:
      return up_to(rng_, Duration::from_s(90));  // beyond the life of cookies
  }
}

void Replayer::replay_whole(const Flow& flow, Duration spread) {
  Duration when = up_to(rng_, spread);
  const auto next = [&] { return when = when + up_to(rng_, spread); };
  for (const std::size_t record : flow.first) later(next(), record);
  for (const std::size_t record : flow.last) later(next(), record);
}

void Replayer::on_event(std::uint64_t token, Instant) {
  if (token != kWhole) {
    replay(token);
    return;
  }
  if (flows_.empty()) return;
  const auto flow =
      std::next(flows_.begin(), static_cast<std::ptrdiff_t>(rng_.below(flows_.size())));
  replay_whole(flow->second, Duration::from_ms(1));
}

void Replayer::replay(std::size_t index) {
  if (!spend()) return;
  Record& record = records_[index];
  const bool is_old_life = flows_[record.flow].life != record.life;
  scene_.tally.count(is_old_life ? Act::kOldLifeReplay : Act::kReplay);
  wire::EthernetHeader header{.destination = Plan::kHostMac[1 - record.from],
                              .source = is_old_life ? Plan::kTapMacForOld : Plan::kTapMac,
                              .ether_type = wire::ether_type::kIpv4};
  wire::emit_ethernet(header, record.octets);
  send(1 - record.from, record.octets);
}

}  // namespace sluice::sim
