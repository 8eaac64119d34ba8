#include "tests/sim/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/sim/rebuild.hpp"
#include "tests/sim/trace_line.hpp"
#include "wire/byte_order.hpp"

namespace sluice::sim {
namespace {

using drivers::FrameFate;

constexpr Duration kLookAroundEvery = Duration::from_ms(100);
/// TIME-WAIT, half-open entries, orphans and neighbours' queues are gone by then.
constexpr Duration kAftermath = Duration::from_s(3600);
/// From when canaries sing: the handshakes of the first connections are over.
constexpr Duration kCanaryAt = Duration::from_ms(20);
constexpr std::uint64_t kMaxEvents = 20'000'000;

bool is_arp(std::span<const std::byte> frame) {
  return frame.size() >= wire::kEthernetHeader &&
         wire::load_be16(frame.data() + 12) == wire::ether_type::kArp;
}

}  // namespace

/// The handler of an accepted connection: finds out whose it is when it opens.
class World::Passive final : public StreamHandler {
 public:
  Passive(World& world, unsigned host, bool is_counted)
      : world_(world), host_(host), is_counted_(is_counted) {
    if (is_counted_) ++world_.passives_alive_;
  }
  ~Passive() override {
    if (is_counted_) --world_.passives_alive_;
  }

  void on_open(Stream stream) override {
    end_ = world_.passive_end(host_, stream, is_forged_);
    if (end_ != nullptr) end_->on_open(stream);
    if (is_forged_) static_cast<void>(stream.abort());
  }
  void on_readable(Stream stream) override {
    if (is_known("on_readable")) end_->on_readable(stream);
  }
  void on_data(Stream stream, RxData& data) override {
    if (is_known("on_data")) end_->on_data(stream, data);
  }
  void on_peer_closed(Stream stream) override {
    if (is_known("on_peer_closed")) end_->on_peer_closed(stream);
  }
  void on_writable(Stream stream) override {
    if (is_known("on_writable")) end_->on_writable(stream);
  }
  void on_urgent(Stream stream) override {
    if (is_known("on_urgent")) end_->on_urgent(stream);
  }
  void on_timer(Stream stream) override {
    if (is_known("on_timer")) end_->on_timer(stream);
  }
  void on_closed(Stream stream, CloseReason reason) override {
    if (is_known("on_closed")) end_->on_closed(stream, reason);
  }

 private:
  bool is_known(const char* callback) {
    if (end_ == nullptr && !is_forged_)
      world_.ledger_.fail("host {}: {} before on_open", host_, callback);
    return end_ != nullptr;
  }
  World& world_;
  unsigned host_;
  bool is_counted_;
  Application* end_ = nullptr;
  bool is_forged_ = false;
};

class World::PassiveFactory final : public HandlerFactory {
 public:
  PassiveFactory(World& world, unsigned host) : world_(world), host_(host) {}
  std::size_t object_size() const override { return sizeof(Passive); }
  std::size_t object_alignment() const override { return alignof(Passive); }
  StreamHandler* construct(void* memory) override {
    return ::new (memory) Passive(world_, host_, true);
  }

 private:
  World& world_;
  unsigned host_;
};

class World::PullListener final : public ListenerHandler {
 public:
  PullListener(World& world, unsigned host) : world_(world), host_(host) {}
  void on_acceptable(Listener listener) override {
    for (;;) {
      auto passive = std::make_unique<Passive>(world_, host_, false);
      const auto stream = listener.accept(passive.get());
      if (stream) {
        passives_.push_back(std::move(passive));
        continue;
      }
      if (stream.error() != Error::kWouldBlock)
        world_.ledger_.fail("host {}: accept() failed: {}", host_, to_string(stream.error()));
      return;
    }
  }

 private:
  World& world_;
  unsigned host_;
  std::vector<std::unique_ptr<Passive>> passives_;
};

World::World(const WorldPlan& plan, const RunOptions& options,
             std::array<std::unique_ptr<support::TestPools>, kHosts>& pools)
    : plan_(plan),
      options_(options),
      pools_(pools),
      liveness_(liveness_bound(plan)),
      clock_(plan.begin) {
  drivers::SimLink::Options link;
  link.directions = plan.link;
  const std::uint64_t twist = options.canary == Canary::kTrace ? 1 : 0;
  link.seed = mix(plan.seed, 0x11a7, twist);
  link.observer = this;
  link.filter = this;
  if (plan.mischief.kind != Mischief::kNone)
    troublemaker_ =
        std::make_unique<Troublemaker>(plan.mischief, plan.begin, mix(plan.seed, 0x7209b1e));
  for (unsigned host = 0; host < kHosts; ++host)
    link.ports[host] = {.name = fmt::format("sim{}", host),
                        .mac = Plan::kHostMac[host],
                        .capabilities = plan.hosts[host].port,
                        .receive_pool = &pools[host]->receive(),
                        .rx_ring_frames = plan.hosts[host].rx_ring,
                        .tx_ring_frames = plan.hosts[host].tx_ring};
  link_ = std::make_unique<drivers::SimLink>(clock_, std::move(link));
  if (options.canary == Canary::kPayload)
    tamper_ = std::make_unique<TamperPort>(link_->port(1), 20);
  for (unsigned host = 0; host < kHosts; ++host) {
    HostPlan& own = host_plans_[host] = plan.hosts[host];
    if (options.canary == Canary::kNoCap) own.stack.tcp.reset_limit = {1'000'000, 1'000'000};
    hosts_[host] = std::make_unique<Host>(clock_, ledger_, own, host, mix(plan.seed, 100 + host),
                                          *pools[host]);
  }
  if (!plan.attacks.empty()) let_attackers_in();
  for (unsigned host = 0; host < kHosts; ++host) {
    packet::PortQueue* port = &link_->port(host);
    if (host == 1 && tamper_) port = tamper_.get();
    if (attackers_) {
      watches_[host] = std::make_unique<WatchPort>(*port, host, *attackers_);
      port = watches_[host].get();
    }
    hosts_[host]->attach(*port, link_->port(host));
  }
  stranger_ = std::make_unique<Stranger>(clock_, *link_, plan);
}

World::~World() = default;

// --- what happens, and when ---

void World::at(Duration after_begin, Event event, std::size_t which) {
  clock_.schedule(plan_.begin + after_begin, *this,
                  static_cast<std::uint64_t>(event) << 32 | which);
}

void World::on_event(std::uint64_t token, Instant now) {
  const auto which = static_cast<std::size_t>(token & 0xffffffffu);
  switch (static_cast<Event>(token >> 32)) {
    case Event::kStart:
      --to_start_;
      start(which & 0xffff, static_cast<std::uint32_t>(which >> 16));
      break;
    case Event::kLookAround:
      look_around();
      break;
    case Event::kOutage:
      link_->cut();
      break;
    case Event::kOutageOver:
      link_->mend();
      break;
    case Event::kPauseAccepting:
      pause_listeners(static_cast<unsigned>(which), true);
      break;
    case Event::kResumeAccepting:
      pause_listeners(static_cast<unsigned>(which), false);
      break;
    case Event::kDrain:
      hosts_[which]->enter(now);
      hosts_[which]->stack().begin_drain(now);
      hosts_[which]->wake();
      break;
    case Event::kResetAll:
      hosts_[which]->enter(now);
      hosts_[which]->stack().reset_all(now);
      hosts_[which]->wake();
      break;
  }
}

void World::on_sent(unsigned direction, std::vector<std::vector<std::byte>>& frames, Instant now) {
  if (left_by_gateway(direction, frames, now)) return;
  if (options_.canary == Canary::kSack || options_.canary == Canary::kAck)
    tamper(direction, frames[0], now);
  auditor_.on_sent(direction, frames[0]);
  if (troublemaker_) troublemaker_->on_sent(direction, frames, now);
}

/// The canaries of the stack's bookkeeping: as if host 1 itself had sent it.
void World::tamper(unsigned direction, std::vector<std::byte>& octets, Instant now) {
  if (direction != 1 || now - plan_.begin < kCanaryAt) return;
  auto frame = support::parse_frame(octets);
  if (!frame || !frame->tcp || frame->tcp->has(wire::kSyn | wire::kRst) ||
      !frame->tcp->has(wire::kAck))
    return;
  wire::TcpHeader& tcp = *frame->tcp;
  if (options_.canary == Canary::kAck) {
    tcp.ack += 1;
  } else if (tcp.options.sack_count > 0) {
    tcp.options.sack[0].right += 1;
  } else {
    return;
  }
  octets = rebuild(*frame);
}

void World::on_frame(FrameFate fate, unsigned direction, std::span<const std::byte> frame,
                     Instant now) {
  trace_ = mix(trace_, static_cast<std::uint64_t>(now.ns()),
               static_cast<std::uint64_t>(fate) << 32 | direction << 16 | frame.size());
  std::uint64_t word;
  for (std::size_t i = 0; i + sizeof word <= frame.size(); i += sizeof word) {
    std::memcpy(&word, frame.data() + i, sizeof word);
    trace_ = (trace_ ^ word) * 0x9e3779b97f4a7c15u;
    trace_ ^= trace_ >> 29;
  }
  if (options_.is_verbose)
    fmt::print("{}\n", trace_line(fate, direction, frame, now - plan_.begin));
  if (fate == FrameFate::kCorrupted && is_arp(frame)) is_tainted_ = true;
  if (fate == FrameFate::kArrived) {
    if (attackers_ && Attackers::is_forged(frame)) {
      auditor_.on_forged(1 - direction, frame);
    } else {
      auditor_.on_arrived(1 - direction, frame);
      if (const auto whole = rejoiner_.on_arrived(1 - direction, frame))
        auditor_.on_arrived(1 - direction, *whole);
    }
  }
  if (fate == FrameFate::kSent && attackers_) attackers_->on_passing(direction, frame);
  if (fate == FrameFate::kSent && stranger_ && !is_finished_)
    stranger_->on_sent(direction, frame, now);
}

void World::listen(unsigned host) {
  Worker worker = hosts_[host]->worker();
  const ListenOptions push{.port = kListenPort,
                           .syn_backlog = plan_.hosts[host].syn_backlog,
                           .accept_backlog = plan_.hosts[host].accept_backlog};
  ListenOptions pull = push;
  pull.port = kPullListenPort;
  pull_listeners_.push_back(std::make_unique<PullListener>(*this, host));
  for (const auto& listener : {worker.listen(push, std::make_unique<PassiveFactory>(*this, host)),
                               worker.listen(pull, *pull_listeners_.back())}) {
    if (listener) {
      listeners_[host].push_back(*listener);
    } else {
      ledger_.fail("host {}: listen() failed: {}", host, to_string(listener.error()));
    }
  }
}

void World::pause_listeners(unsigned host, bool is_pausing) {
  hosts_[host]->enter(clock_.now());
  for (Listener& listener : listeners_[host]) {
    const auto done = is_pausing ? listener.pause_accepting() : listener.resume_accepting();
    if (!done && done.error() != Error::kStaleHandle && done.error() != Error::kDraining)
      ledger_.fail("host {}: pausing accept failed: {}", host, to_string(done.error()));
  }
  hosts_[host]->wake();
}

void World::close_listeners() {
  for (unsigned host = 0; host < kHosts; ++host) {
    hosts_[host]->enter(clock_.now());
    for (Listener& listener : listeners_[host]) {
      static_cast<void>(listener.close());
      if (listener.info()) ledger_.fail("host {}: a closed listener still answers", host);
    }
    hosts_[host]->wake();
  }
}

void World::connect(Life& life, unsigned end, unsigned host, Port remote) {
  const ConnectionPlan& plan = plan_.connections[life.plan];
  const Ipv4Addr address =
      plan.opening == Opening::kUnreachable ? Plan::kDead : Plan::kHost[1 - host];
  hosts_[host]->enter(clock_.now());
  const Port local = end == 0 || plan.opening != Opening::kSimultaneous
                         ? plan.fixed_port
                         : Port{static_cast<std::uint16_t>(plan.fixed_port.value + 1000)};
  const auto stream = hosts_[host]->worker().connect(
      {.remote = {address, remote}, .local_port = local}, life.ends[end].get());
  if (stream) {
    life.ends[end]->begin(*stream);
    const auto info = stream->info();
    if (info && end == 0) life.client_port = info->local.port;
    if (!info) ledger_.fail("{}: no info() of a new stream", life.ends[end]->name());
  } else {
    life.refused = stream.error();
  }
  hosts_[host]->wake();
}

void World::start(std::size_t index, std::uint32_t repetition) {
  const ConnectionPlan& plan = plan_.connections[index];
  Life& life = lives_.emplace_back();
  life.plan = index;
  life.repetition = repetition;
  const Content content[2] = {Content(mix(plan_.seed, index * 16 + repetition, 10)),
                              Content(mix(plan_.seed, index * 16 + repetition, 11))};
  const bool is_echo = plan.ends[1].reading == Reading::kEcho;
  for (unsigned end = 0; end < 2; ++end) {
    const unsigned host = end == 0 ? plan.client : 1 - plan.client;
    life.ends[end] = std::make_unique<Application>(
        ledger_, hosts_[host]->worker(), plan.ends[end], content[is_echo ? 0 : end],
        content[is_echo ? 0 : 1 - end],
        fmt::format("connection {}.{} {}", index, repetition, end == 0 ? "client" : "server"));
  }
  switch (plan.opening) {
    case Opening::kConnect:
      connect(life, 0, plan.client, plan.pulls ? kPullListenPort : kListenPort);
      break;
    case Opening::kRefused:
      connect(life, 0, plan.client, kRefusingPort);
      break;
    case Opening::kUnreachable:
      connect(life, 0, plan.client, kListenPort);
      break;
    case Opening::kSimultaneous:
      connect(life, 0, plan.client, Port{static_cast<std::uint16_t>(plan.fixed_port.value + 1000)});
      if (!life.refused) connect(life, 1, 1 - plan.client, plan.fixed_port);
      break;
  }
}

Application* World::passive_end(unsigned host, Stream stream, bool& is_forged) {
  const auto info = stream.info();
  if (!info) {
    ledger_.fail("host {}: on_open without info()", host);
    return nullptr;
  }
  for (auto life = lives_.rbegin(); life != lives_.rend(); ++life) {
    const ConnectionPlan& plan = plan_.connections[life->plan];
    const Port port = plan.pulls ? kPullListenPort : kListenPort;
    if (plan.opening == Opening::kConnect && plan.client != host &&
        life->client_port == info->remote.port && port == info->local.port &&
        info->remote.address == IpAddr(Plan::kHost[plan.client]) &&
        !life->ends[1]->result().is_open)
      return life->ends[1].get();
  }
  if (Application* const guest = guest_end(host, info->remote)) return guest;
  is_forged = is_forgery(info->remote);
  if (!is_forged)
    ledger_.fail("host {}: a connection from {} that nobody made", host, to_string(info->remote));
  return nullptr;
}

bool World::is_done(const Life& life) const {
  if (!life.refused && !life.ends[0]->is_done()) return false;
  const bool has_second = plan_.connections[life.plan].opening == Opening::kSimultaneous
                              ? !life.refused
                              : life.ends[1]->result().is_open;
  return !has_second || life.ends[1]->is_done();
}

/// An orderly connection must not need longer than the plan allows; others may wait in vain for a
/// peer that is gone, until their patience ends.
void World::check_liveness(const Life& life) {
  if (!is_orderly(life)) return;
  const Duration age = clock_.now() - plan_.begin;
  result_.bound_used_percent =
      std::max(result_.bound_used_percent, age.ms() * 100 / liveness_.ms());
  if (age <= liveness_) return;
  for (const auto& end : life.ends)
    ledger_.fail("{}: not over after {} s, the bound of liveness", end->describe(), liveness_.s());
}

/// The end of all patience. It is the harness that ends such a connection, not the stack: so the
/// plan must say why that was necessary.
void World::give_up(Life& life) {
  if (!std::exchange(life.is_given_up, true)) {
    ++result_.given_up;
    if (!may_stall(life))
      for (const auto& end : life.ends)
        ledger_.fail("{}: not over after {} s, and the plan does not say why", end->describe(),
                     kPatience.s());
  }
  for (unsigned end = 0; end < 2; ++end) {
    const ConnectionPlan& plan = plan_.connections[life.plan];
    Host& host = *hosts_[end == 0 ? plan.client : 1 - plan.client];
    host.enter(clock_.now());
    life.ends[end]->give_up();
    host.wake();
  }
}

void World::look_around() {
  const bool is_late = clock_.now() - plan_.begin > kPatience;
  bool is_all_done = to_start_ == 0;
  for (std::size_t i = 0; i < lives_.size(); ++i) {  // start() makes it grow
    Life& life = lives_[i];
    if (life.is_over) continue;
    check_liveness(life);
    if (is_done(life)) {
      life.is_over = true;
      const ConnectionPlan& plan = plan_.connections[life.plan];
      const bool is_normal = !life.refused &&
                             life.ends[0]->result().reason == CloseReason::kNormal &&
                             life.ends[1]->is_closed();
      if (is_normal && life.repetition + 1 < plan.repetitions) {
        ++to_start_;
        clock_.schedule(clock_.now() + Duration::from_ms(10), *this,
                        static_cast<std::uint64_t>(Event::kStart) << 32 |
                            (life.repetition + 1) << 16 | life.plan);
        is_all_done = false;
      }
      continue;
    }
    is_all_done = false;
    if (is_late && !is_orderly(life)) give_up(life);
  }
  if (attackers_)
    for (auto& host : hosts_) check_memory(*host);
  if (is_all_done && are_attackers_done()) {
    is_finished_ = true;
  } else {
    clock_.schedule(clock_.now() + kLookAroundEvery, *this,
                    static_cast<std::uint64_t>(Event::kLookAround) << 32);
  }
}

void World::run_connections() {
  const Instant bound = plan_.begin + std::max(liveness_, kPatience + Duration::from_s(60));
  while (!is_finished_ && clock_.next_event() <= bound && clock_.events_run() < kMaxEvents &&
         ledger_.is_clean())
    clock_.step();
  if (is_finished_ || !ledger_.is_clean()) return;
  ledger_.fail("not over after {} s and {} events", (clock_.now() - plan_.begin).s(),
               clock_.events_run());
  for (const Life& life : lives_)
    for (const auto& end : life.ends) ledger_.fail("  {}", end->describe());
}

void World::run_until_idle() {
  close_listeners();
  const Instant bound = clock_.now() + kAftermath;
  const auto is_idle = [this] {
    return hosts_[0]->is_idle() && hosts_[1]->is_idle() && link_->in_flight() == 0 &&
           link_->port(0).rx_waiting() == 0 && link_->port(1).rx_waiting() == 0;
  };
  while (!is_idle() && clock_.now() < bound && ledger_.is_clean())
    clock_.run_until(clock_.now() + Duration::from_ms(500));
  for (unsigned host = 0; host < kHosts; ++host)
    if (!hosts_[host]->is_idle())
      ledger_.fail("host {}: not idle {} s after the last connection: {}", host, kAftermath.s(),
                   hosts_[host]->what_is_left());
    else
      hosts_[host]->check_tables();
}

WorldResult World::run() {
  for (unsigned host = 0; host < kHosts; ++host) {
    hosts_[host]->enter(clock_.now());
    listen(host);
    const HostPlan& plan = plan_.hosts[host];
    if (!plan.accept_pause_at.is_infinite()) {
      at(plan.accept_pause_at, Event::kPauseAccepting, host);
      at(plan.accept_pause_at + plan.accept_pause_for, Event::kResumeAccepting, host);
    }
    if (!plan.drain_at.is_infinite()) {
      at(plan.drain_at, Event::kDrain, host);
      at(plan.drain_at + plan.drain_for, Event::kResetAll, host);
    }
  }
  for (std::size_t i = 0; i < plan_.connections.size(); ++i) {
    ++to_start_;
    at(plan_.connections[i].start, Event::kStart, i);
  }
  if (plan_.path_change)
    for (unsigned direction = 0; direction < 2; ++direction)
      link_->change_path(plan_.begin + plan_.path_change->at, direction,
                         plan_.path_change->link[direction]);
  const auto& last_path = plan_.path_change ? plan_.path_change->link : plan_.link;
  for (unsigned direction = 0; direction < 2; ++direction)
    link_->change_path(plan_.begin + plan_.heal_at, direction, healed(last_path[direction]));
  if (!plan_.outage_at.is_infinite()) {
    at(plan_.outage_at, Event::kOutage);
    if (!plan_.outage_for.is_infinite()) at(plan_.outage_at + plan_.outage_for, Event::kOutageOver);
  }
  if (options_.canary == Canary::kTimer) hosts_[1]->forget_deadlines();
  if (options_.canary == Canary::kSilence) at(kCanaryAt, Event::kOutage);
  at(kLookAroundEvery, Event::kLookAround);
  run_connections();

  packet::PacketPtr stolen;
  if (options_.canary == Canary::kLeak) stolen.reset(rte_pktmbuf_alloc(&pools_[0]->receive()));
  if (ledger_.is_clean()) run_until_idle();
  if (ledger_.is_clean()) {
    for (Life& life : lives_) judge(life);
    judge_guests();
    for (auto& host : hosts_) judge_metrics(*host);
  }
  for (Guest& guest : guests_) guest.end->release();
  for (Life& life : lives_)
    for (auto& end : life.ends) end->release();
  result_.lasted = clock_.now() - plan_.begin;
  for (std::size_t fate = 0; fate < result_.fates.size(); ++fate)
    result_.fates[fate] = link_->count(static_cast<FrameFate>(fate));
  const bool was_clean = ledger_.is_clean();
  lives_.clear();
  guests_.clear();
  for (auto& host : hosts_) host.reset();
  stolen.reset();
  for (unsigned host = 0; host < kHosts; ++host)
    if (pools_[host]->mbufs_out() != 0)
      ledger_.fail("host {}: {} mbufs leaked", host, pools_[host]->mbufs_out());
  if (was_clean && passives_alive_ != 0)
    ledger_.fail("{} handlers of accepted connections were not destroyed", passives_alive_);
  result_.trace = trace_;
  result_.faults = ledger_.faults();
  return result_;
}

}  // namespace sluice::sim
