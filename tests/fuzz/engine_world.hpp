#pragma once

// What the engine's fuzzer plays with: a stack with small tables, so that limits are reached,
// poisoned mbufs, an application that does as a script says, and the checks between two steps.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "stack/impl.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::fuzz {

inline constexpr Ipv4Addr kOurAddress = Ipv4Addr::from_octets(10, 0, 0, 2);
inline constexpr MacAddr kOurMac{{0x02, 0, 0, 0, 0, 0x02}};
inline constexpr MacAddr kPeerMac{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr Port kPushPort{7}, kPullPort{8}, kClosedPort{9};

/// Pools outlive all worlds of the process: making them costs more than a run.
struct FuzzPools {
  support::TestPools worker{{.receive = 96, .control = 48, .indirect = 48}};
  /// Frames come from here: a NIC's ring still has buffers when the pool has none.
  support::MempoolPtr nic = support::make_mbuf_pool(128, 2048 + RTE_PKTMBUF_HEADROOM);
  unsigned mbufs_out() const { return worker.mbufs_out() + rte_mempool_in_use_count(nic.get()); }
};

/// The octet that peers send at a sequence number, and we at an offset of the stream: what is
/// received or sent can be judged wherever it was cut.
constexpr std::byte peer_octet(wire::SeqNum seq) {
  return static_cast<std::byte>(seq.value() * 131u + (seq.value() >> 8) * 7u);
}
constexpr std::byte own_octet(std::uint64_t offset) {
  return static_cast<std::byte>(offset * 37u + (offset >> 8) * 11u);
}

class World;

/// Does what the world's script says in each callback.
class App final : public StreamHandler {
 public:
  explicit App(World& world) : world_(world) {}
  void on_open(Stream stream) override;
  void on_data(Stream stream, RxData& data) override;
  void on_peer_closed(Stream stream) override;
  void on_writable(Stream stream) override;
  void on_urgent(Stream stream) override;
  void on_timer(Stream stream) override;
  void on_closed(Stream stream, CloseReason reason) override;

 private:
  World& world_;
};

class World final : public ListenerHandler, public TimerHandler {
 public:
  /// The first octets of the input are the configuration, then the application's script.
  static constexpr std::size_t kConfigOctets = 4, kScriptOctets = 8;
  World(FuzzPools& pools, std::span<const std::uint8_t, kConfigOctets> config,
        std::span<const std::uint8_t, kScriptOctets> script);
  ~World() override;

  stack::Stack& stack() { return *stack_; }
  tcp::Context& context() { return stack_->impl().engine.context(); }
  Worker worker() { return stack_->worker(); }

  // --- steps ---
  void receive(std::span<const std::vector<std::byte>> frame_segments);
  void advance(Duration by);
  /// Takes up to `room` frames off the stack and judges them.
  void transmit(std::size_t room);
  /// Until nothing is left to do at this instant.
  void settle();
  void withhold(rte_mempool& pool);
  void give_back();
  void listen(Port port);
  /// Peers fall silent: all that is timed must come to its end.
  void fall_silent();
  /// Everything is closed, and nothing may be left.
  void end();

  /// Asserts everything that must hold between two steps.
  void check();

  // --- the application ---
  std::uint8_t next_script() { return script_[script_at_++ % kScriptOctets]; }
  void remember(Stream stream) { streams_[stream_at_++ % streams_.size()] = stream; }
  Stream remembered(unsigned which) const { return streams_[which % streams_.size()]; }
  void send(Stream stream, std::size_t count);
  void echo(Stream stream, RxData& data);
  void keep(RxData data) { kept_[kept_at_++ % kept_.size()] = std::move(data); }
  RxData& kept(unsigned which) { return kept_[which % kept_.size()]; }
  void judge_received(Stream stream, const RxData& data);
  App& borrowed() { return borrowed_; }
  Listener& listener(unsigned which) { return listeners_[which % listeners_.size()]; }
  void on_acceptable(Listener listener) override;
  void on_timer() override {}
  bool is_ending() const { return is_ending_; }
  /// Octets may come that are no peer_octet(): what is received cannot be judged any more.
  void taint() { is_tainted_ = true; }

 private:
  void judge_sent(const rte_mbuf& frame, bool is_fresh);
  bool is_echo(ConnHandle handle) const;
  void walk(Instant until, unsigned most_steps);

  FuzzPools& pools_;
  std::array<std::uint8_t, kScriptOctets> script_;
  std::unique_ptr<telemetry::StateRegion> region_;
  std::unique_ptr<stack::Stack> stack_;
  unsigned port_ = 0;
  Instant now_;
  App borrowed_{*this};
  std::array<Listener, 3> listeners_;
  std::array<Stream, 8> streams_;
  std::array<RxData, 4> kept_;
  std::vector<ConnHandle> echoes_;
  std::vector<rte_mbuf*> withheld_;
  std::uint64_t received_ = 0;  ///< Frames that the stack was given.
  std::size_t script_at_ = 0, stream_at_ = 0, kept_at_ = 0;
  bool is_ending_ = false;
  bool is_tainted_ = false;
  bool is_egress_empty_ = true;
};

}  // namespace sluice::fuzz
