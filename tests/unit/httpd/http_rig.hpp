#pragma once

// A server's stack and a client's, wired to each other in memory on a virtual clock.

#include <rte_mbuf.h>

#include <array>
#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server.hpp"
#include "stack/stack.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace httpd {

/// One answer as a client reads it.
struct Reply {
  unsigned status = 0;
  std::string head;
  std::string body;
  bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

/// The next answer at the front of `text`, which loses it; status 0 if it is not whole.
inline Reply take_reply(std::string& text, bool is_head_only = false) {
  const std::size_t blank = text.find("\r\n\r\n");
  if (blank == std::string::npos) return {};
  Reply reply;
  reply.head = text.substr(0, blank + 2);
  reply.status = static_cast<unsigned>(std::stoul(reply.head.substr(9, 3)));
  const std::string_view name = "\r\nContent-Length: ";
  const std::size_t at = reply.head.find(name);
  const std::size_t length =
      at == std::string::npos || is_head_only ? 0 : std::stoul(reply.head.substr(at + name.size()));
  if (text.size() < blank + 4 + length) return {};
  reply.body = text.substr(blank + 4, length);
  text.erase(0, blank + 4 + length);
  return reply;
}

class Client final : public sluice::StreamHandler {
 public:
  void on_data(sluice::Stream, sluice::RxData& data) override {
    received += data.to_string();
    data.consume(data.size());
  }
  void on_peer_closed(sluice::Stream) override { is_ended = true; }
  void on_closed(sluice::Stream, sluice::CloseReason why) override {
    is_closed = true;
    reason = why;
  }

  std::string received;
  bool is_ended = false;  ///< The server's FIN came.
  bool is_closed = false;
  sluice::CloseReason reason = sluice::CloseReason::kNormal;
  sluice::Stream stream;
};

/// A stack at 10.0.0.`number`, whose neighbour 10.0.0.`other` is known.
class Host {
 public:
  Host(std::uint8_t number, std::uint8_t other, sluice::Instant now) {
    using namespace sluice;
    stack::StackConfig config;
    stack::InterfaceConfig interface;
    interface.addresses = {{Ipv4Addr::from_octets(10, 0, 0, number), 24}};
    interface.neighbors = {{Ipv4Addr::from_octets(10, 0, 0, other), mac(other)}};
    config.interfaces = {interface};
    config.tcp.max_connections = config.tcp.max_half_open = config.tcp.max_time_wait = 2048;
    config.tcp.max_in_flight = 2048;
    config.tcp.nodelay = true;
    std::vector<telemetry::SectionPlan> plan;
    stack::Stack::plan_state(config, 0, plan);
    region_ = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(plan));
    const stack::StackDeps deps{
        .region = *region_, .pools = pools_.pools(), .secrets = {}, .seed = number};
    stack_ = std::make_unique<stack::Stack>(config, deps, now);
    packet::PortCapabilities capabilities;
    capabilities.tx_ipv4_checksum = capabilities.tx_tcp_checksum = capabilities.rx_checksum = true;
    capabilities.tx_multi_segment = true;
    port_ = stack_->attach(capabilities, mac(number), 0);
  }
  static sluice::MacAddr mac(std::uint8_t number) { return {{0x02, 0, 0, 0, 0, number}}; }

  sluice::Worker worker() { return stack_->worker(); }
  /// Gives what it has to send to `other`, copied as by a wire; false if that was nothing.
  bool carry_to(Host& other, sluice::Instant now) {
    std::array<rte_mbuf*, 32> out{};
    const std::size_t count = stack_->transmit(port_, out, now);
    for (std::size_t i = 0; i < count; ++i) {
      rte_mbuf* const copy = rte_pktmbuf_copy(out[i], &other.pools_.receive(), 0, out[i]->pkt_len);
      REQUIRE(copy != nullptr);
      copy->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
      rte_pktmbuf_free(out[i]);
      out[i] = copy;
    }
    if (count > 0) other.stack_->receive(other.port_, {out.data(), count}, now);
    return count > 0;
  }
  void advance(sluice::Instant now) { stack_->advance(now); }

 private:
  sluice::support::TestPools pools_{{.receive = 2048, .control = 1024, .indirect = 1024}};
  std::unique_ptr<sluice::telemetry::StateRegion> region_;
  std::unique_ptr<sluice::stack::Stack> stack_;
  unsigned port_ = 0;
};

class HttpRig {
 public:
  static constexpr sluice::Port kPort{80};

  explicit HttpRig(Options options = {}, const std::string& root = "") : content_(root) {
    options.site.content = &content_;
    http_ = std::make_unique<Server>(options);
    REQUIRE(server_.worker().listen({.port = kPort}, http_->factory(0)).has_value());
  }

  Client& connect() {
    Client& client = clients_.emplace_back();
    const sluice::Endpoint remote{sluice::Ipv4Addr::from_octets(10, 0, 0, 2), kPort};
    const auto stream = client_.worker().connect({.remote = remote}, &client);
    REQUIRE(stream.has_value());
    client.stream = *stream;
    run();
    return client;
  }
  void send(Client& client, std::string_view text) {
    while (!text.empty()) {
      const auto sent = client.stream.send(text);
      REQUIRE(sent.has_value());
      text.remove_prefix(*sent);
      run();
    }
  }
  /// Sends on a new connection and gives the first answer.
  Reply ask(std::string_view text) {
    Client& client = connect();
    send(client, text);
    return take_reply(client.received, text.starts_with("HEAD"));
  }
  /// Until nothing moves any more, without waiting for a timer.
  void run() {
    for (bool moves = true; moves;) {
      now_ = now_ + sluice::Duration::from_us(10);
      client_.advance(now_);
      server_.advance(now_);
      moves = client_.carry_to(server_, now_);
      server_.advance(now_);
      moves |= server_.carry_to(client_, now_);
    }
  }
  void pass(sluice::Duration time) {
    const sluice::Instant end = now_ + time;
    while (now_ < end) {
      now_ = now_ + sluice::Duration::from_ms(1);
      run();
    }
  }
  const Stats& stats() const { return http_->stats(0); }

 private:
  sluice::Instant now_ = sluice::Instant::from_ns(1'000'000'000);
  Content content_;
  std::unique_ptr<Server> http_;
  std::deque<Client> clients_;
  Host server_{2, 1, now_};
  Host client_{1, 2, now_};
};

}  // namespace httpd
