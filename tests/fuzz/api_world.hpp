#pragma once

// Two hosts on a lossy link, and the books about every end of a connection: what was sent, what
// came, which callbacks were due. Who calls what is decided elsewhere (fuzz_api.cpp): this is what
// must hold whatever an application does.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/rng.hpp"
#include "stack/impl.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::fuzz {

inline constexpr unsigned kApiHosts = 2;

constexpr Ipv4Addr api_address(unsigned host) {
  return Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(host + 1));
}

/// Pools outlive all worlds of the process: making them costs more than a run.
using ApiPools = std::array<std::unique_ptr<support::TestPools>, kApiHosts>;

/// One end of one connection, as its application knows it.
struct End {
  unsigned host = 0;
  Stream stream;
  Endpoint local, remote;
  std::vector<std::byte> sent;  ///< What send() took.
  std::size_t received = 0;     ///< Octets that were read, all compared.
  std::size_t offered = 0;      ///< Octets that the running on_data was handed and has not taken.
  unsigned opened = 0;
  unsigned closed = 0;
  bool is_over = false;  ///< close() or abort() was accepted: only on_closed may come.
};

class ApiWorld {
 public:
  /// Octets of the input that say how the hosts and the link are.
  static constexpr std::size_t kConfigOctets = 5;
  ApiWorld(ApiPools& pools, std::span<const std::uint8_t, kConfigOctets> config);
  ~ApiWorld();

  stack::Stack& stack(unsigned host) { return *hosts_[host].stack; }
  Worker worker(unsigned host) { return stack(host).worker(); }

  // --- time ---
  /// Lets time pass, through at most `most_steps` instants at which something is due.
  void run_for(Duration span, unsigned most_steps);
  /// Until nothing is left to do at this instant.
  void settle();
  /// From now on the link loses nothing and applications wind up.
  void begin_ending();
  bool is_ending() const { return is_ending_; }
  std::uint64_t rounds() const { return rounds_; }
  /// Everything is closed, and nothing may be left.
  void end();

  // --- the books ---
  /// The end that a stream is; a new one the first time.
  End& end_of(unsigned host, Stream stream);
  std::size_t ends() const { return ends_.size(); }
  End& end_at(std::size_t which) { return ends_[which % ends_.size()]; }
  void note_sent(End& end, std::span<const std::byte> octets);
  /// `data` was offered to the end: it must be what the other end sent. Not counted yet.
  void judge_offered(const End& end, const RxData& data) const;
  /// The peer's FIN was told: nothing that it sent may be missing.
  void judge_peer_closed(const End& end) const;
  void judge_info(const End& end, const StreamInfo& info) const;

  /// Wraps every call of the API: a callback that comes meanwhile is a broken promise.
  template <class Call>
  auto call(Call&& made) {
    ++calls_;
    auto result = made();
    --calls_;
    return result;
  }
  void check_not_in_call() const { SLUICE_ASSERT(calls_ == 0); }

  /// Borrowed handlers of the application: what they are is its business, when they go the world's.
  template <class Handler, class... Arguments>
  StreamHandler* make_handler(Arguments&&... arguments) {
    return handlers_.emplace(std::make_unique<Handler>(arguments...)).first->get();
  }
  /// False if the handler is none of those.
  bool destroy_handler(const StreamHandler* handler);

 private:
  struct Host {
    support::TestPools* pools = nullptr;
    std::unique_ptr<telemetry::StateRegion> region;
    std::unique_ptr<stack::Stack> stack;
    unsigned port = 0;
  };
  struct Weather {
    std::uint32_t lost = 0, doubled = 0, marked = 0;  ///< Of 256 frames.
    Duration delay, jitter;
  };
  struct Frame {
    unsigned to = 0;
    support::Octets octets;
  };
  using Tuple = std::tuple<unsigned, Endpoint, Endpoint>;

  void make_host(unsigned host, std::span<const std::uint8_t, kConfigOctets> config);
  bool transmit(unsigned from);
  void put_on_link(unsigned to, support::Octets frame);
  void mark_congestion(support::Octets& frame) const;
  void deliver_due();
  Instant next_event() const;
  bool is_dry(unsigned host) const;
  void check() const;
  const End* peer_of(const End& end) const;

  std::array<Host, kApiHosts> hosts_;
  Instant now_;
  Rng rng_;
  Weather weather_;
  std::map<std::pair<Instant, std::uint64_t>, Frame> flying_;
  std::uint64_t frames_ = 0;
  std::uint64_t payload_frames_ = 0;  ///< Sent, with octets of a stream.
  std::uint64_t rounds_ = 0;          ///< Turns of both hosts' loops.
  std::deque<End> ends_;
  std::map<std::pair<unsigned, ConnHandle>, std::size_t> by_handle_;
  std::multimap<Tuple, std::size_t> by_tuple_;
  std::set<std::unique_ptr<StreamHandler>> handlers_;
  unsigned calls_ = 0;
  bool is_ending_ = false;
};

}  // namespace sluice::fuzz
