#pragma once

// Everything that makes one world what it is, drawn from its seed before anything runs.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "drivers/sim/sim_link.hpp"
#include "stack/stack.hpp"

namespace sluice::sim {

inline constexpr unsigned kHosts = 2;
inline constexpr Port kListenPort{7};
inline constexpr Port kPullListenPort{8};
inline constexpr Port kRefusingPort{99};

/// Addresses of a world. The dead one answers nothing; the stranger has no stack.
struct Plan {
  static constexpr Ipv4Addr kHost[kHosts] = {Ipv4Addr::from_octets(10, 0, 0, 1),
                                             Ipv4Addr::from_octets(10, 0, 0, 2)};
  static constexpr Ipv4Addr kDead = Ipv4Addr::from_octets(10, 0, 0, 50);
  static constexpr Ipv4Addr kStranger = Ipv4Addr::from_octets(10, 0, 0, 66);
  static constexpr Ipv4Addr kNobody = Ipv4Addr::from_octets(10, 0, 0, 99);
  static constexpr MacAddr kHostMac[kHosts] = {{{0x02, 0, 0, 0, 0, 0x01}},
                                               {{0x02, 0, 0, 0, 0, 0x02}}};
  static constexpr MacAddr kStrangerMac{{0x02, 0, 0, 0, 0, 0x66}};
};

/// How an end ends, when nothing untoward happens before.
enum class Finish : std::uint8_t {
  kShutdown,  ///< FIN when all is sent (or at `finish_at`), then reads to the peer's end.
  kLast,      ///< Waits for the peer's end, then sends what is left and closes.
  kClose,     ///< close() when all is sent, whatever the peer still has to say.
  kAbort,     ///< abort() when all is sent.
};

enum class Reading : std::uint8_t {
  kPush,     ///< on_data takes all.
  kPartial,  ///< on_data takes a part, pauses, and resumes later.
  kKeep,     ///< on_data keeps the packets for a while.
  kPull,     ///< on_readable and read().
  kEcho,     ///< on_data sends it back without copying; nothing else is sent.
};

/// What one end of a connection does. Times count from on_open.
struct EndPlan {
  std::uint32_t send_bytes = 65536;
  std::uint32_t chunk_bytes = 4096;
  Duration send_pause;  ///< Between chunks.
  Finish finish = Finish::kShutdown;
  Duration finish_at;  ///< Not before; for both ends to close at once.
  Reading reading = Reading::kPush;
  Duration hold;  ///< kKeep, kPartial: for so long.
  Duration pause_at = Duration::infinite();
  Duration pause_for;
  Duration abort_at = Duration::infinite();
  Duration close_at = Duration::infinite();
  Duration abort_opening_at =
      Duration::infinite();   ///< Since connect(), should it not be open yet.
  bool closes_at_end = true;  ///< close() after both FINs, or just lets go.
  bool misuses = false;       ///< Calls what must not be called, and checks the errors.
  bool has_keepalive = false;
  bool may_be_drained = false;  ///< Its host sends FIN by itself when it drains.
  Duration user_timeout;        ///< Zero: the host's.
};

enum class Opening : std::uint8_t {
  kConnect,       ///< Client to listener.
  kSimultaneous,  ///< Both connect to each other, ports fixed.
  kRefused,       ///< Nobody listens: refused.
  kUnreachable,   ///< Nobody is there: unreachable.
};

struct ConnectionPlan {
  Opening opening = Opening::kConnect;
  unsigned client = 0;            ///< Host.
  bool pulls = false;             ///< Accepted by the pull listener.
  Port fixed_port;                ///< Of the client; 0: ephemeral.
  std::uint32_t repetitions = 1;  ///< One after the other on the same port pair (TIME-WAIT reuse).
  Duration start;                 ///< From the world's begin.
  std::array<EndPlan, 2> ends;    ///< [0]: the client's.
};

struct HostPlan {
  stack::StackConfig stack;
  packet::PortCapabilities port;
  std::uint32_t rx_ring = 1024;
  std::uint32_t tx_ring = 1024;
  std::uint16_t burst = 32;
  Duration poll_interval;          ///< Frames wait for the next multiple of it.
  std::uint32_t receive_pkts = 0;  ///< Of the receive pool that are left; 0: all.
  std::uint32_t syn_backlog = 64;
  std::uint32_t accept_backlog = 64;
  Duration accept_pause_at = Duration::infinite();
  Duration accept_pause_for;
  Duration drain_at = Duration::infinite();  ///< begin_drain(); reset_all() after drain_for.
  Duration drain_for;
};

struct WorldPlan {
  std::uint64_t seed = 0;
  Instant begin;
  std::array<drivers::LinkOptions, 2> link;
  std::array<HostPlan, kHosts> hosts;
  std::vector<ConnectionPlan> connections;
  Duration outage_at = Duration::infinite();
  Duration outage_for;  ///< infinite(): the peers never hear of each other again.
  std::uint32_t stranger_frames = 0;
  bool is_static_arp = false;

  // What may then go wrong without being a fault of the stack.
  bool may_fail_handshake = false;  ///< Losses or limits can outlast a connect().
  bool may_fail = false;            ///< Connections can be cut by other things than their ends.
};

/// Draws a world. The same seed gives the same world on every machine.
WorldPlan draw_world(std::uint64_t seed);

/// Some lines that tell it to a reader.
std::string describe(const WorldPlan& plan);

}  // namespace sluice::sim
