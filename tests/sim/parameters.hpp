#pragma once

// Everything that makes one world what it is, drawn from its seed before anything runs.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "drivers/sim/link_options.hpp"
#include "packet/port.hpp"
#include "stack/stack.hpp"
#include "tests/sim/attack/plan.hpp"
#include "tests/sim/network_plan.hpp"
#include "tests/sim/plan_addresses.hpp"

namespace sluice::sim {

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
  std::optional<PathChangePlan> path_change;
  MischiefPlan mischief;
  Duration heal_at;  ///< Every fault of the paths and all mischief end. An endless outage does not.
  std::uint32_t stranger_frames = 0;
  std::vector<AttackPlan> attacks;
  bool is_static_arp = false;
  bool is_scarce = false;  ///< A table or a pool is too small for what will come.

  // What may then go wrong without being a fault of the stack.
  bool may_fail_handshake = false;  ///< Losses or limits can outlast a connect().
  bool may_fail = false;            ///< Connections can be cut by other things than their ends.
};

/// Applications whose peer may be gone for good give up by themselves.
inline constexpr Duration kPatience = Duration::from_s(1800);

/// From sending a segment to hearing of it, through full queues.
Duration longest_round_trip(const WorldPlan& world);

/// By when, from the world's begin, every orderly connection is over: the bound of liveness. After
/// the last thing that may hinder it (faults healed, pauses and outages over) a connection needs
/// what its applications wait, what its octets take at the rates and windows there are, and four
/// times the longest RTO.
Duration liveness_bound(const WorldPlan& plan);

/// Draws a world. The same seed gives the same world on every machine.
WorldPlan draw_world(std::uint64_t seed);

/// Some lines that tell it to a reader.
std::string describe(const WorldPlan& plan);

}  // namespace sluice::sim
