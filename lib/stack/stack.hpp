#pragma once

// One shard: link + ip + tcp + events, no thread, no clock, no I/O. Three verbs, each given the
// time. The same object runs in production, in the simulator and under the fuzzers.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/keyed_hash.hpp"
#include "base/reserved_memory.hpp"
#include "base/time.hpp"
#include "packet/pools.hpp"
#include "packet/port.hpp"
#include "sluice/worker.hpp"
#include "stack/network_change.hpp"
#include "stack/post_office.hpp"
#include "tcp/config.hpp"
#include "tcp/segment.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/region.hpp"

namespace sluice::ip {
class PrefixFilter;
}

namespace sluice::stack {

class HandlerPool;

/// A route as configured: `gateway` unspecified means on-link.
struct RouteConfig {
  Prefix destination;
  IpAddr gateway;
  std::optional<tcp::Algorithm> congestion =
      {};  ///< Of connections over it, unless a listener or stream has its own.
};

/// A pinned neighbour.
struct StaticNeighbor {
  IpAddr address;
  MacAddr mac;
};

/// An Interface: addresses, MAC, neighbours and routes over any number of (port, queue) pairs.
struct InterfaceConfig {
  std::string name = "if0";
  std::vector<Prefix> addresses;
  std::vector<RouteConfig> routes;  ///< Beside the connected ones that addresses imply.
  std::vector<StaticNeighbor> neighbors;
};

struct StackConfig {
  std::vector<InterfaceConfig> interfaces;
  std::uint32_t workers = 1;  ///< Stacks behind the same ports: each hears every ARP reply.
  tcp::EngineConfig tcp;

  // Below TCP.
  std::uint32_t max_neighbors = 1024;
  std::uint32_t max_routes = 256;
  std::uint32_t neighbor_queue_packets = 8;            ///< Waiting for one unresolved neighbour.
  std::uint32_t neighbor_pending_total = 256;          ///< Waiting for all of them.
  Duration neighbor_reachable = Duration::from_s(60);  ///< Then the entry is probed again.
  Duration neighbor_retry = Duration::from_s(1);
  std::uint8_t neighbor_probes = 3;
  TokenBucket::Limits icmp_error_limit = {100, 50};
  TokenBucket::Limits echo_limit = {10000, 1000};
  std::uint8_t ttl = 64;
  bool announces = false;  ///< Gratuitous ARP for each address, by the stack of worker 0.

  /// Below this many free receive mbufs payload is dropped unacknowledged.
  std::uint32_t receive_low_watermark_pkts = 256;
};

/// Secrets of a worker, from the operating system's entropy or a test's seed. Never in the region.
struct Secrets {
  HashKey flow_table;
  HashKey first_numbers;
  HashKey ports;
  HashKey cookies;
};

struct StackDeps {
  telemetry::StateRegion& region;  ///< Made from plan_state()'s sections; outlives the stack.
  packet::Pools pools;
  Secrets secrets;
  std::uint64_t seed = 0;  ///< Of the worker's Rng.
  unsigned worker = 0;
  /// Outlives the stack. Null: every flow comes to this worker.
  const tcp::FlowHome* home = nullptr;
};

class Stack {
 public:
  /// Appends the sections that a worker's stack needs in the region.
  static void plan_state(const StackConfig& config, unsigned worker,
                         std::vector<telemetry::SectionPlan>& plan);

  Stack(const StackConfig& config, const StackDeps& deps, Instant now);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// Binds a (port, queue) pair to an interface; gives the pair's number for receive and transmit.
  unsigned attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                  unsigned interface_index);

  /// Packets of sources that `filter` denies are dropped in silence from now on, those of
  /// connections that exist among them. Null: none are. Borrowed; gives the one before, which is
  /// not used any more. Between two verbs, at any time.
  const ip::PrefixFilter* set_prefix_filter(const ip::PrefixFilter* filter);

  /// A change of addresses, routes or neighbours, or a refusal that changes nothing; revert() takes
  /// it back. Both between two verbs.
  Result<void, ChangeError> change(const NetworkChange& change, ChangeUndo& undo, Instant now);
  void revert(const ChangeUndo& undo, Instant now);
  /// Goes by `next` from now on. Interfaces and sizes stay what they are; see Engine::reconfigure.
  void reconfigure(const StackConfig& next);
  /// As Worker::listen, with the handlers' memory made beforehand, by whatever thread.
  Result<Listener, Error> listen(const ListenOptions& options, std::unique_ptr<HandlerPool> pool);
  /// Closes the listener of this very port and address (none: any). False: there is none.
  bool unlisten(Port port, const std::optional<IpAddr>& address);

  /// How messages leave; null: not at all. Borrowed.
  void set_post_office(PostOffice* office);
  MessageHandler* message_handler() const;

  // --- the three verbs ---

  /// Takes a burst of frames that came in on `port`. Takes ownership of all of them.
  void receive(unsigned port, std::span<rte_mbuf* const> frames, Instant now);
  /// With many workers: frames that receive() put together from fragments. Whose they are can be
  /// said now. Ownership is the caller's; call until it gives none.
  std::size_t take_reassembled(std::span<rte_mbuf*> out);
  /// Fires timers, then calls the application's handlers for what happened since the last time.
  void advance(Instant now);
  /// Fills `out` with frames to send on `port`; the caller owns them. Gives how many. Frames the
  /// port did not take may simply be offered to it again, first, by the caller.
  std::size_t transmit(unsigned port, std::span<rte_mbuf*> out, Instant now);

  /// The latest time by which advance() must be called again; now or earlier if there is work.
  Instant next_deadline() const;
  /// Something waits to be transmitted or delivered right now.
  bool has_work() const;
  /// Publishes what changed (records, WorkerInfo) to readers of the region. Called once a round.
  void publish(Instant now);

  // --- life ---

  /// No new connections; FIN to connections without unsent data, and to the others once it is sent.
  void begin_drain(Instant now);
  /// No connection is left but TIME-WAIT.
  bool is_drained() const;
  enum class Telling : bool { kEach, kWhereThereIsRoom };
  /// RST to what is left, as many as there is room to tell: transmit and call again until
  /// is_drained(). kWhereThereIsRoom: the others end as well, untold, and none is left. Gives how
  /// many connections it was this time.
  std::uint32_t reset_all(Instant now, Telling telling = Telling::kEach);
  /// RSTs, ACKs and SYN-ACKs that no port has taken yet.
  bool has_control_waiting() const;

  Worker worker();
  const telemetry::Metrics& metrics() const;
  /// Tables that grow with the connections: another thread may populate them ahead of use.
  std::vector<GrowingMemory*> growing_memory();

  // The public API's calls, by handle (stream.cpp, listener.cpp, worker.cpp); see sluice/*.hpp.
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  friend class sluice::Stream;
  friend class sluice::Listener;
  friend class sluice::Worker;
  friend class sluice::RxData;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::stack
