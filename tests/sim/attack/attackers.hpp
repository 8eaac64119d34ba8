#pragma once

// All attackers of a world, the gateway that they come in by, and the judge of what they send.
//
//                      observer: what went by            WatchPort: before the stack
//   host 0 ──▶ filter ──▶ wire ─────────────────────────────▶ host 1
//                │ to the gateway's MAC                  ▲
//                ▼                                       │ inject
//            off the segment ──▶ slow reader         guesser, replayer, flooder, slow reader

#include <memory>
#include <vector>

#include "tests/sim/attack/attacker.hpp"
#include "tests/sim/attack/slow_reader.hpp"
#include "tests/sim/attack/watch_port.hpp"

namespace sluice::sim {

/// A defence that is missing, as if the stack had none: the run must fail.
enum class MissingDefence : std::uint8_t {
  kNone,
  kResetNumber,  ///< Any RST in the window is believed (RFC 5961 3).
  kDataAck,      ///< Octets are taken whatever they acknowledge (RFC 5961 5).
};

class Attackers final : public FrameJudge {
 public:
  Attackers(const Scene& scene, const WorldPlan& plan, MissingDefence missing);

  /// A frame that host `from` has put on the wire.
  void on_passing(unsigned from, std::span<const std::byte> frame);
  /// True if `frame` leaves the segment: it is no longer the wire's.
  bool takes_as_gateway(unsigned from, std::span<const std::byte> frame);

  /// Of no host's making, or of an earlier connection's: it says nothing of what the host does now.
  static bool is_forged(std::span<const std::byte> frame);
  bool is_attackers(std::span<const std::byte> frame) const override;
  bool passes(unsigned host, std::span<std::byte> frame) override;

  /// Null if nobody reads slowly.
  SlowReader* slow_reader() { return slow_reader_; }

 private:
  void weaken(telemetry::StateRegion& region, std::span<std::byte> octets,
              support::ParsedFrame& frame) const;

  Scene scene_;
  MissingDefence missing_;
  std::vector<std::unique_ptr<Attacker>> attackers_;
  SlowReader* slow_reader_ = nullptr;
  Instant watched_until_{};  ///< Nobody looks at what goes by any more.
};

}  // namespace sluice::sim
