#pragma once

// A tcp::Engine alone with a virtual clock: segments in, segments out, no IP below and no stack
// above. What a test of the engine starts from.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tcp/engine.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::support {

/// A segment that the engine sent, as its peer reads it.
struct SentSegment {
  wire::TcpHeader header;
  std::vector<std::byte> payload;
  tcp::FlowKey flow;  ///< As the engine sees it: local first.
  Instant at;
  std::uint8_t ecn = 0;            ///< The two ECN bits that its IP header will have.
  std::vector<std::byte> options;  ///< As laid out in the header, padding included.

  bool has(std::uint8_t flags) const { return header.has(flags); }
  wire::SeqNum end() const {
    return header.seq + static_cast<std::uint32_t>(payload.size()) + (has(wire::kSyn) ? 1u : 0u) +
           (has(wire::kFin) ? 1u : 0u);
  }
};

/// A segment for the engine.
struct PeerSegment {
  std::uint8_t flags = wire::kAck;
  wire::SeqNum seq{};
  wire::SeqNum ack{};
  std::vector<std::byte> payload = {};
  std::uint16_t window = 8192;
  std::uint16_t urgent = 0;
  wire::TcpOptions options = {};
};

/// The octets of `segment` as a peer of `flow` sends it, TCP header first.
std::vector<std::byte> octets_of_segment(const tcp::FlowKey& flow, const PeerSegment& segment);

/// What the application of a connection was told.
struct ToldEvent {
  std::uint32_t index;
  std::uint8_t mask;   ///< app::Event
  CloseReason reason;  ///< With kClosed.
};

/// What the engine asks of the layers below: one path to everywhere.
class OnePath final : public tcp::PathProvider {
 public:
  Result<tcp::PathInfo, tcp::PathError> path_to(const IpAddr&,
                                                const IpAddr& preferred) const override {
    if (error) return fail(*error);
    return tcp::PathInfo{preferred.is_unspecified() ? source : preferred, mtu};
  }
  bool is_home(const tcp::FlowKey& flow) const override { return !home || home(flow); }
  std::optional<tcp::PathError> error;
  std::function<bool(const tcp::FlowKey&)> home;  ///< None: every flow is.
  IpAddr source = Ipv4Addr::from_octets(10, 0, 0, 2);
  std::uint16_t mtu = 1500;
};

/// Pools that all rigs of a process share, for EAL's memory is small. Full whenever no rig lives.
TestPools& shared_pools();

/// The keys of every rig that is given no others: fixed, so that runs repeat.
tcp::Keys rig_keys();

class TcpRig {
 public:
  /// Small tables and short limits; timestamps, SACK and window scaling on.
  static tcp::EngineConfig small_config();

  explicit TcpRig(const tcp::EngineConfig& config = small_config(),
                  Instant start = Instant::from_ns(1'000'000'000),
                  TestPools& pools = shared_pools(), const tcp::Keys& keys = rig_keys());
  ~TcpRig();
  TcpRig(const TcpRig&) = delete;
  TcpRig& operator=(const TcpRig&) = delete;

  tcp::Engine& engine() { return *engine_; }
  tcp::Context& ctx() { return engine_->context(); }
  const telemetry::Metrics& metrics() { return ctx().metrics; }
  TestPools& pools() { return pools_; }
  OnePath& path() { return path_; }
  Instant now() const { return now_; }

  /// Gives the engine a segment of `flow`, tells the application what it has to be told, and
  /// collects what the engine sends. An empty receive pool loses the segment: false.
  bool receive(const tcp::FlowKey& flow, const PeerSegment& segment);
  /// Several segments in one burst: what they cause is sent and told behind the last.
  void receive_burst(const tcp::FlowKey& flow, const std::vector<PeerSegment>& segments);
  /// The octets of a whole segment, TCP header first.
  bool receive_octets(const tcp::FlowKey& flow, std::span<const std::byte> octets,
                      std::uint8_t ecn = 0);
  /// What a user call, or a timer, left to be sent and told.
  void settle();
  /// Lets time pass, stopping at each of the engine's deadlines.
  void run_for(Duration span) { run_until(now_ + span); }
  void run_until(Instant target);
  /// Runs from deadline to deadline until `is_enough` is true; false if `limit` passed first. Only
  /// what the last deadline brought is in sent() and told() afterwards.
  bool run_to(const std::function<bool()>& is_enough, Duration limit);

  /// What was sent and told since the last call.
  std::vector<SentSegment> take_sent() { return std::exchange(sent_, {}); }
  std::vector<ToldEvent> take_told() { return std::exchange(told_, {}); }
  const std::vector<SentSegment>& sent() const { return sent_; }
  /// Segments that were sent in a train, behind another's headers, since the rig was made.
  std::uint64_t trained() const { return trained_; }

  /// TCB of a flow; null if there is none.
  tcp::Tcb* find(const tcp::FlowKey& flow);

  /// Ends everything and checks that nothing is left: no record, no timer, no mbuf. Once, last.
  void require_clean();

 private:
  void collect();
  void see(const tcp::OutboundSegment& out);
  void tell();

  TestPools& pools_;
  OnePath path_;
  telemetry::StateRegion region_;
  Instant now_;
  std::unique_ptr<tcp::Engine> engine_;
  std::vector<SentSegment> sent_;
  std::vector<ToldEvent> told_;
  std::uint64_t trained_ = 0;
};

/// The other end of one connection: keeps its own sequence numbers and clock, honestly, so that a
/// test says only what is special.
class TcpPeer {
 public:
  struct Options {
    wire::SeqNum iss{1000};
    Port local_port{80};      ///< The engine's.
    Port remote_port{40000};  ///< This end's.
    std::uint16_t window = 8192;
    std::uint16_t mss = 1460;
    bool timestamps = true;
    bool sack = true;
    std::optional<std::uint8_t> window_scale = 0;
  };
  explicit TcpPeer(TcpRig& rig) : TcpPeer(rig, Options{}) {}
  TcpPeer(TcpRig& rig, const Options& options);

  const tcp::FlowKey& flow() const { return flow_; }
  wire::SeqNum iss() const { return options_.iss; }
  wire::SeqNum nxt{};  ///< What this end sends next.
  wire::SeqNum una{};  ///< What it acknowledges: all that the engine has sent in order.
  std::uint16_t window;

  /// A segment with this end's numbers and options.
  PeerSegment segment(std::uint8_t flags, std::size_t payload = 0) const;
  void give(const PeerSegment& segment) { rig_.receive(flow_, segment); }
  /// segment() given, and its sequence space counted.
  void send(std::uint8_t flags, std::size_t payload = 0);
  /// Reads what the engine sent: `una` follows. Gives the segments.
  std::vector<SentSegment> read();
  /// Acknowledges what has been read.
  void acknowledge() { give(segment(wire::kAck)); }

  /// SYN, SYN-ACK, ACK to a listener of the engine.
  void connect();
  void send_syn();
  wire::TcpOptions syn_options() const;
  std::uint32_t ts_now() const;

  std::uint32_t ts_skew = 0;  ///< Added to this end's timestamp clock.

 private:
  TcpRig& rig_;
  Options options_;
  tcp::FlowKey flow_;
  std::uint32_t ts_echo_ = 0;
};

/// The start time at which `flow`'s initial sequence number is `iss`.
Instant time_of_iss(const tcp::FlowKey& flow, wire::SeqNum iss);
/// Says what an Outcome counter has counted: `metrics.of` by name.
inline std::uint64_t outcome_total(const telemetry::Metrics& metrics) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : metrics.outcomes) total += count;
  return total;
}

}  // namespace sluice::support
