#pragma once

// Honest clients of an echo server as frames: each connects, sends 4 octets, wants them back and
// resets the connection. What is lost is sent again as Linux does: a SYN after 1, 2, 4 s, data
// after 200, 400 ms and so on. They arrive at random times, whatever became of those before them.

#include <cstdint>
#include <deque>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "base/address.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "bench/wire/waits.hpp"
#include "wire/tcp.hpp"

namespace sluice::bench {

/// A segment to send; with `is_text` the 4 octets follow.
struct HonestSegment {
  Ipv4Addr source;
  wire::TcpHeader tcp;
  bool is_text = false;
};

class HonestFlows {
 public:
  struct Options {
    Port server;
    double rate = 0;  ///< Arrivals a second.
    Duration lasts;   ///< For so long they arrive.
    Duration bound;   ///< After which a client gives up.
    std::uint64_t seed = 1;
  };
  HonestFlows(const Options& options, Instant now);

  /// Clients have addresses of 100.64.0.0 on, one each.
  static bool is_client(Ipv4Addr address) { return address.value - kFirst < kSlots; }

  /// Lets clients arrive, segments be sent again, and the bound pass.
  void advance(Instant now);
  /// A segment of the server to `client`, with `payload` octets.
  void on_segment(Ipv4Addr client, const wire::TcpHeader& tcp, std::uint32_t payload, Instant now);

  /// What is to be sent now, in any order.
  std::vector<HonestSegment>& to_send() { return to_send_; }
  /// No more come, and none waits.
  bool is_over() const { return has_ended_ && waiting_ == 0; }
  std::string json() const;

 private:
  enum class State : std::uint8_t { kFree, kSynSent, kAwaitsEcho };
  struct Flow {
    State state = State::kFree;
    std::uint8_t sent = 0;  ///< SYNs, or data segments.
    Port port{1024};
    wire::SeqNum snd_nxt, rcv_nxt;
    std::uint32_t ts_recent = 0;
    std::uint32_t life = 0;  ///< Tells a timer of an earlier one from its own.
    Instant began;
  };
  using Timer = std::tuple<Instant, std::uint32_t, std::uint32_t>;  // when, slot, life

  static constexpr std::uint32_t kFirst = 0x64400000u;  // 100.64.0.0
  static constexpr std::uint32_t kSlots = 65536;

  Duration gap();
  void arrive(Instant due, Instant now);
  void on_timer(std::uint32_t slot, Instant now);
  void send_syn(std::uint32_t slot, Instant now);
  void send_text(std::uint32_t slot, Instant now);
  void send(std::uint32_t slot, std::uint8_t flags, Instant now);
  void release(std::uint32_t slot);

  Options options_;
  Rng rng_;
  Instant next_arrival_, end_;
  bool has_ended_ = false;
  std::vector<Flow> flows_;
  std::deque<std::uint32_t> free_;  // The one that is free for longest comes first.
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::vector<HonestSegment> to_send_;
  Waits echoes_;
  std::uint64_t clients_ = 0, waiting_ = 0, connected_ = 0, reset_ = 0, sent_again_ = 0;
};

}  // namespace sluice::bench
