#pragma once

// The attacker on the path. It keeps frames as they went by and sends them again, unchanged but for
// the link header: single ones at once or much later, and whole connections, SYN to RST, also into
// a later connection with the same ports.

#include <deque>
#include <map>
#include <vector>

#include "tests/sim/attack/attacker.hpp"

namespace sluice::sim {

class Replayer final : public Attacker {
 public:
  Replayer(const Scene& scene, const AttackPlan& plan, std::uint64_t seed);

  void on_passing(unsigned from, const support::ParsedFrame& frame,
                  std::span<const std::byte> octets) override;
  void on_event(std::uint64_t token, Instant now) override;

 private:
  using FlowId = std::array<std::uint16_t, kHosts>;  ///< Port of each host.
  struct Record {
    support::Octets octets;
    unsigned from = 0;
    std::uint32_t life = 0;  ///< Which of the connections with these ports.
    FlowId flow{};
  };
  struct Flow {
    std::array<wire::SeqNum, kHosts> iss{};
    std::uint32_t life = 0;
    std::vector<std::size_t> first;  ///< Records: how it began, RSTs and FINs among the rest.
    std::deque<std::size_t> last;
  };

  void note_life(Flow& flow, unsigned from, const support::ParsedFrame& frame);
  void keep(Flow& flow, std::size_t record);
  void replay(std::size_t record);
  void replay_whole(const Flow& flow, Duration spread);
  void later(Duration delay, std::size_t record) {
    scene_.clock.schedule(scene_.clock.now() + delay, *this, record);
  }
  Duration some_delay();

  std::vector<Record> records_;
  std::map<FlowId, Flow> flows_;
};

}  // namespace sluice::sim
