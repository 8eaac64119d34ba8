#pragma once

// A wire between two ports, with the faults that wires, switches and radios have. All randomness
// comes from one seed and all arithmetic is on integers: the same seed and the same calls give the
// same frames at the same times.
//
//   port 0  tx_burst -> [tx ring] -> filter -> MTU, policer -> queue, rate -> faults, delay -> port
//   1 port 0  rx_burst <- [rx ring] <- the same, mirrored, with options of its own             <-
//   port 1

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "drivers/sim/clock.hpp"
#include "drivers/sim/link_options.hpp"
#include "packet/port.hpp"

struct rte_mempool;

namespace sluice::drivers {

/// One end of a link.
struct SimPortOptions {
  std::string name = "sim";
  MacAddr mac = {};
  packet::PortCapabilities capabilities = {};  ///< The mtu also bounds what the wire carries.
  rte_mempool* receive_pool = nullptr;         ///< Borrowed: arriving frames are copied to it.
  std::uint32_t rx_ring_frames = 1024;         ///< Frames that wait for rx_burst; more are dropped.
  std::uint32_t tx_ring_frames = 1024;  ///< Frames that wait to leave; tx_burst takes no more.
};

/// What became of a frame.
enum class FrameFate : std::uint8_t {
  kSent,        ///< A port took it.
  kInjected,    ///< SimLink::inject() put it in.
  kLost,        ///< By chance.
  kQueueFull,   ///< Beyond queue_bytes.
  kTooLong,     ///< Beyond the MTU of a port, or of the path.
  kFragmented,  ///< Longer than the path's MTU: its fragments go on, each a frame of its own.
  kPoliced,     ///< Faster than the policer allows.
  kEarlyDrop,   ///< The queue is too long, and the frame could not be marked.
  kMarked,      ///< CE is set; it goes on.
  kCorrupted,   ///< Shown before the bits are hit; it goes on.
  kDuplicated,  ///< A copy was made; both go on.
  kReordered,   ///< It was held back; it goes on.
  kArrived,     ///< It is in the receiver's ring.
  kRingFull,    ///< The receiver did not poll in time.
  kNoBuffer,    ///< The receiver's pool was empty.
  kCount,
};

/// Sees every frame, at the time of the event. `direction` d is from port d to the other.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  virtual void on_frame(FrameFate fate, unsigned direction, std::span<const std::byte> frame,
                        Instant now) = 0;
};

/// Stands between the ports and the wire: a peer that misbehaves, or a middlebox.
class LinkFilter {
 public:
  virtual ~LinkFilter() = default;
  /// `frames` holds the frame that port `direction` has sent, checksums filled in. What it holds
  /// afterwards goes on the wire, in this order; nothing is a frame swallowed.
  virtual void on_sent(unsigned direction, std::vector<std::vector<std::byte>>& frames,
                       Instant now) = 0;
};

class SimLink;

/// One end of a SimLink, as a port that a stack polls.
class SimPort final : public packet::PortQueue {
 public:
  SimPort(SimLink& link, unsigned side, SimPortOptions options);
  ~SimPort() override;

  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant now) override;
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) override;
  const packet::PortCapabilities& capabilities() const override { return options_.capabilities; }
  MacAddr mac() const override { return options_.mac; }
  std::string name() const override { return options_.name; }

  /// `actor` gets on_event(token) at once when frames arrive. Borrowed.
  void wake_on_arrival(SimActor& actor, std::uint64_t token) { owner_ = &actor, token_ = token; }
  /// When the transmit ring has room: now, if it has.
  Instant tx_ready_at(Instant now) const;
  std::size_t rx_waiting() const { return rx_ring_.size(); }

 private:
  friend class SimLink;
  void arrive(std::uint32_t frame);
  void transmit(std::uint32_t slot, Instant now);

  SimLink& link_;
  unsigned side_;
  SimPortOptions options_;
  SimActor* owner_ = nullptr;
  std::uint64_t token_ = 0;
  std::deque<std::uint32_t> rx_ring_;  ///< Frames of the link.
  std::deque<Instant> tx_ring_;        ///< When each frame that was taken will have left.
};

/// Two ports and the wire between them. The clock and the pools must outlive it.
class SimLink final : public SimActor {
 public:
  struct Options {
    std::array<LinkOptions, 2> directions;  ///< [d]: from port d to the other.
    std::array<SimPortOptions, 2> ports;
    std::uint64_t seed = 0;
    LinkObserver* observer = nullptr;  ///< Borrowed; may be null.
    LinkFilter* filter = nullptr;      ///< Borrowed; may be null.
  };

  SimLink(SimClock& clock, Options options);
  ~SimLink() override;

  SimPort& port(unsigned side) { return *ports_[side]; }
  /// Frames sent from now on take another path: its queue is empty, and they may overtake those
  /// that are still on the old one.
  void set_options(unsigned direction, const LinkOptions& options);
  /// The same, at `when`.
  void change_path(Instant when, unsigned direction, const LinkOptions& options);
  /// Pulls the cable: every frame is lost, both ways, until mend().
  void cut() { is_cut_ = true; }
  void mend() { is_cut_ = false; }
  const LinkOptions& options(unsigned direction) const { return directions_[direction].options; }
  /// Lets a frame that no port sent arrive at `side` at `when`: a stranger on the segment.
  void inject(unsigned side, std::span<const std::byte> frame, Instant when);

  std::uint64_t count(FrameFate fate) const { return counts_[static_cast<std::size_t>(fate)]; }
  /// Frames that have been sent and neither arrived nor perished.
  std::size_t in_flight() const { return in_flight_; }

  void on_event(std::uint64_t token, Instant now) override;

 private:
  friend class SimPort;
  using Octets = std::vector<std::byte>;
  struct Direction {
    LinkOptions options;
    Instant free_at;                   ///< When the last bit accepted so far has left.
    Instant last_arrival;              ///< Frames that are not reordered do not overtake.
    Instant policed_until;             ///< When the policer's bucket is full again.
    bool is_bad = false;               ///< BurstLoss.
    std::uint16_t identification = 0;  ///< Of what was cut last.
  };
  struct PathChange {
    unsigned direction;
    LinkOptions options;
  };

  std::uint32_t take_slot();
  void free_slot(std::uint32_t slot);
  Instant take(unsigned direction, std::uint32_t slot, Instant now);
  Instant send(unsigned direction, std::uint32_t slot, Instant now);
  Instant lose(FrameFate fate, unsigned direction, std::uint32_t slot, Instant now);
  Instant forward(unsigned direction, std::uint32_t slot, Instant now);
  Instant exceed(unsigned direction, std::uint32_t slot, Instant now);
  bool is_within_police(Direction& way, std::size_t octets, Instant now);
  bool passes_marking(unsigned direction, Octets& octets, std::uint64_t waiting, Instant now);
  bool is_lost_in_burst(Direction& way);
  bool drawn(Rng& rng, Ratio ratio) { return rng.chance(ratio.numerator, ratio.denominator); }
  void propagate(unsigned direction, std::uint32_t slot, Instant departed);
  void corrupt(Octets& octets);
  Duration up_to(Duration limit);
  void note(FrameFate fate, unsigned direction, const Octets& octets, Instant now);

  SimClock& clock_;
  Rng rng_;       ///< Loss, duplication, corruption, order and jitter.
  Rng path_rng_;  ///< Bursts and marks.
  LinkObserver* observer_;
  LinkFilter* filter_;
  std::array<Direction, 2> directions_;
  std::array<std::unique_ptr<SimPort>, 2> ports_;
  std::deque<Octets> slots_;  ///< Frames in flight or in a ring; storage is used again.
  std::vector<std::uint32_t> free_slots_;
  std::array<std::uint64_t, static_cast<std::size_t>(FrameFate::kCount)> counts_{};
  std::size_t in_flight_ = 0;
  bool is_cut_ = false;
  std::vector<PathChange> changes_;
  std::vector<Octets> filtered_;  ///< Scratch of take().
};

}  // namespace sluice::drivers
