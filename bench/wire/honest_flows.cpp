#include "bench/wire/honest_flows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::bench {
namespace {

constexpr std::uint32_t kTextOctets = 4;
constexpr Duration kSynTimeout = Duration::from_s(1);      // RFC 6298 2.1
constexpr Duration kTextTimeout = Duration::from_ms(200);  // Linux's smallest

std::uint32_t ts_val(Instant now) {
  return static_cast<std::uint32_t>(now.ns() / 1'000'000);
}

}  // namespace

HonestFlows::HonestFlows(const Options& options, Instant now)
    : options_(options), rng_(options.seed), end_(now + options.lasts), flows_(kSlots) {
  next_arrival_ = options.rate > 0 ? now + gap() : Instant::never();
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    free_.push_back(slot);
    // The server may still hold connections of a generator before this one.
    flows_[slot].port = Port{static_cast<std::uint16_t>(1024 + rng_.below(64512))};
  }
}

/// Between arrivals of a Poisson process.
Duration HonestFlows::gap() {
  const double uniform = (static_cast<double>(rng_.below(1u << 30)) + 1) / (1u << 30);
  return Duration::from_ns(static_cast<std::int64_t>(-std::log(uniform) / options_.rate * 1e9));
}

void HonestFlows::advance(Instant now) {
  for (; next_arrival_ <= now && next_arrival_ < end_; next_arrival_ = next_arrival_ + gap())
    arrive(next_arrival_, now);
  has_ended_ = now >= end_;
  while (!timers_.empty() && std::get<Instant>(timers_.top()) <= now) {
    const auto [at, slot, life] = timers_.top();
    timers_.pop();
    if (flows_[slot].state != State::kFree && flows_[slot].life == life) on_timer(slot, now);
  }
}

/// A client's time begins when it was due, so that a late start of ours counts as waiting.
void HonestFlows::arrive(Instant due, Instant now) {
  if (free_.empty()) return;  // 65,536 wait: more cannot be told apart.
  const std::uint32_t slot = free_.front();
  free_.pop_front();
  Flow& flow = flows_[slot];
  const auto port =
      static_cast<std::uint16_t>(flow.port.value == 65535 ? 1024 : flow.port.value + 1);
  const std::uint32_t life = flow.life + 1;
  flow = Flow{};
  flow.state = State::kSynSent;
  flow.port = Port{port};
  flow.snd_nxt = wire::SeqNum(static_cast<std::uint32_t>(rng_.next()));
  flow.life = life;
  flow.began = due;
  ++clients_;
  ++waiting_;
  send_syn(slot, now);
}

void HonestFlows::on_timer(std::uint32_t slot, Instant now) {
  const Flow& flow = flows_[slot];
  if (now - flow.began >= options_.bound) return release(slot);
  if (flow.state == State::kSynSent)
    send_syn(slot, now);
  else
    send_text(slot, now);
}

void HonestFlows::send_syn(std::uint32_t slot, Instant now) {
  Flow& flow = flows_[slot];
  if (flow.sent > 0) ++sent_again_;
  send(slot, wire::kSyn, now);
  const Instant next = now + kSynTimeout * (std::int64_t{1} << flow.sent++);
  timers_.emplace(std::min(next, flow.began + options_.bound), slot, flow.life);
}

void HonestFlows::send_text(std::uint32_t slot, Instant now) {
  Flow& flow = flows_[slot];
  if (flow.sent > 0) ++sent_again_;
  send(slot, wire::kAck | wire::kPsh, now);
  const Instant next = now + kTextTimeout * (std::int64_t{1} << flow.sent++);
  timers_.emplace(std::min(next, flow.began + options_.bound), slot, flow.life);
}

void HonestFlows::send(std::uint32_t slot, std::uint8_t flags, Instant now) {
  const Flow& flow = flows_[slot];
  wire::TcpHeader tcp;
  tcp.source = flow.port;
  tcp.destination = options_.server;
  tcp.seq = flow.snd_nxt;
  tcp.flags = flags;
  tcp.window = 64240;
  tcp.options.has_timestamps = true;
  tcp.options.ts_val = ts_val(now);
  if ((flags & wire::kSyn) != 0) {
    tcp.options.has_mss = tcp.options.has_sack_permitted = tcp.options.has_window_scale = true;
    tcp.options.mss = 1460;
    tcp.options.window_scale = 7;
  } else {
    tcp.ack = flow.rcv_nxt;
    tcp.options.ts_ecr = flow.ts_recent;
  }
  to_send_.push_back({Ipv4Addr{kFirst + slot}, tcp, (flags & wire::kPsh) != 0});
}

void HonestFlows::on_segment(Ipv4Addr client, const wire::TcpHeader& tcp, std::uint32_t payload,
                             Instant now) {
  const std::uint32_t slot = client.value - kFirst;
  Flow& flow = flows_[slot];
  if (flow.state == State::kFree || tcp.destination != flow.port) {
    if (tcp.has(wire::kRst)) return;
    wire::TcpHeader reset;  // RFC 9293 3.5.2: nothing here knows the connection.
    reset.source = tcp.destination;
    reset.destination = tcp.source;
    reset.seq = tcp.ack;
    reset.flags = wire::kRst;
    to_send_.push_back({client, reset});
    return;
  }
  if (tcp.has(wire::kRst)) {
    ++reset_;
    return release(slot);
  }
  if (tcp.options.has_timestamps) flow.ts_recent = tcp.options.ts_val;
  if (flow.state == State::kSynSent) {
    if (!tcp.has(wire::kSyn) || !tcp.has(wire::kAck) || tcp.ack != flow.snd_nxt + 1) return;
    ++connected_;
    flow.state = State::kAwaitsEcho;
    flow.snd_nxt += 1;
    flow.rcv_nxt = tcp.seq + 1;
    flow.sent = 0;
    ++flow.life;  // Ends the SYN's timer.
    send(slot, wire::kAck, now);
    return send_text(slot, now);
  }
  if (tcp.has(wire::kSyn)) return send(slot, wire::kAck, now);
  if (payload < kTextOctets || tcp.seq != flow.rcv_nxt) return;
  echoes_.add(static_cast<double>((now - flow.began).ns()) / 1e3);
  flow.snd_nxt += kTextOctets;
  flow.rcv_nxt += kTextOctets;
  send(slot, wire::kRst | wire::kAck, now);
  release(slot);
}

void HonestFlows::release(std::uint32_t slot) {
  flows_[slot].state = State::kFree;
  free_.push_back(slot);
  --waiting_;
}

std::string HonestFlows::json() const {
  return fmt::format(
      "{{\"clients\":{},\"connected\":{},\"served\":{},\"served_3s\":{},\"reset\":{},"
      "\"sent_again\":{},\"echo_us\":{}}}",
      clients_, connected_, echoes_.count(), echoes_.count_within(3e6), reset_, sent_again_,
      echoes_.json(clients_, static_cast<double>(options_.bound.us())));
}

}  // namespace sluice::bench
