#pragma once

// A wire between two ports, with the faults that wires, switches and radios have. All randomness
// comes from one seed and all arithmetic is on integers: the same seed and the same calls give the
// same frames at the same times.
//
//   port 0  tx_burst -> [tx ring] -> rate, queue -> delay, faults -> [rx ring] -> rx_burst  port 1
//           rx_burst <- [rx ring] <- faults, delay <- queue, rate <- [tx ring] <- tx_burst

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
#include "packet/port.hpp"

struct rte_mempool;

namespace sluice::drivers {

/// A probability as a ratio of integers.
struct Ratio {
  std::uint32_t numerator = 0;
  std::uint32_t denominator = 1;
};

/// What one direction of a link does to frames.
struct LinkOptions {
  Duration delay = {};                  ///< Of every frame, after its last bit has left.
  Duration jitter = {};                 ///< Up to so much more, uniform; order is kept.
  std::uint64_t bits_per_second = 0;    ///< 0: frames take no time to leave.
  std::uint32_t queue_bytes = 1 << 20;  ///< Octets waiting to leave; what is beyond is dropped.
  Ratio loss = {};
  Ratio duplicate = {};  ///< A second copy follows, by up to `reorder_delay` later.
  Ratio corrupt = {};    ///< One run of at most 15 bits is hit, anywhere in the frame.
  Ratio reorder = {};    ///< Held back, so that later frames overtake it.
  Duration reorder_delay = Duration::from_ms(5);  ///< How long a frame is held back at most.
};

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
  kTooLong,     ///< Beyond the MTU.
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
  };

  SimLink(SimClock& clock, Options options);
  ~SimLink() override;

  SimPort& port(unsigned side) { return *ports_[side]; }
  /// Changes what the wire does to frames sent from now on: a cable pulled is a loss of 1/1.
  void set_options(unsigned direction, const LinkOptions& options);
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
    Instant free_at;       ///< When the last bit accepted so far has left.
    Instant last_arrival;  ///< Frames that are not reordered do not overtake.
  };

  std::uint32_t take_slot();
  void free_slot(std::uint32_t slot);
  Instant send(unsigned direction, std::uint32_t slot, Instant now);
  void propagate(unsigned direction, std::uint32_t slot, Instant departed);
  void corrupt(Octets& octets);
  Duration up_to(Duration limit);
  void note(FrameFate fate, unsigned direction, const Octets& octets, Instant now);

  SimClock& clock_;
  Rng rng_;
  LinkObserver* observer_;
  std::array<Direction, 2> directions_;
  std::array<std::unique_ptr<SimPort>, 2> ports_;
  std::deque<Octets> slots_;  ///< Frames in flight or in a ring; storage is used again.
  std::vector<std::uint32_t> free_slots_;
  std::array<std::uint64_t, static_cast<std::size_t>(FrameFate::kCount)> counts_{};
  std::size_t in_flight_ = 0;
};

}  // namespace sluice::drivers
