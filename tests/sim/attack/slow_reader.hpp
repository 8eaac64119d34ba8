#pragma once

// The attacker who is a peer: a small TCP client of its own that completes its handshakes, asks for
// something, and then reads nothing, or an octet at a time, or leaves the connection half closed.
// What it reads it compares: its octets are honest ones, too.

#include <vector>

#include "tests/sim/attack/attacker.hpp"
#include "tests/sim/content.hpp"
#include "tests/sim/parameters.hpp"

namespace sluice::sim {

class SlowReader final : public Attacker {
 public:
  SlowReader(const Scene& scene, const AttackPlan& plan, std::uint64_t seed);

  void on_event(std::uint64_t token, Instant now) override;
  void on_gateway(unsigned from, const support::ParsedFrame& frame) override;

  /// What the server at the other end of the connection from `port` does, sends and gets.
  EndPlan servers_plan(Port port) const;
  Content servers_content(Port port) const { return Content(mix(seed_, port.value, 1)); }
  Content own_content(Port port) const { return Content(mix(seed_, port.value, 2)); }

 private:
  enum class Habit : std::uint8_t {
    kZeroWindow,  ///< Takes one small window, and no more.
    kOneOctet,    ///< Offers one octet at a time.
    kHalfClose,   ///< Sends FIN, takes everything, and never acknowledges the server's FIN.
    kNoClose,     ///< Acknowledges the server's FIN, and never sends its own.
    kCount
  };
  struct Peer {
    Habit habit = Habit::kZeroWindow;
    std::uint16_t server_port = 0;
    wire::SeqNum iss;
    wire::SeqNum next;      ///< Of its own numbers.
    wire::SeqNum irs;       ///< The server's SYN.
    wire::SeqNum received;  ///< RCV.NXT
    std::uint32_t window = 0;
    unsigned syns = 0;
    bool is_open = false;
    bool is_gone = false;
  };
  static constexpr std::uint16_t kFirstPort = 2000;

  static Port port_of(std::size_t peer) {
    return Port{static_cast<std::uint16_t>(kFirstPort + peer)};
  }
  void send_syn(std::size_t index);
  void open(std::size_t index, const support::ParsedFrame& frame);
  void take(std::size_t index, const support::ParsedFrame& frame);
  void acknowledge(std::size_t index);
  support::TcpFrame segment(std::size_t index, std::uint8_t flags) const;

  std::uint64_t seed_;
  std::vector<Peer> peers_;
};

}  // namespace sluice::sim
