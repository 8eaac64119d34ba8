#pragma once

// Between a script's numbers and live ones, for each connection (packetdrill's way).
//
//   script      0 1 2 ...         both directions begin at the sequence number of their SYN line
//   live        ISN ISN+1 ...     ours: the engine's; the peer's: chosen by the runner
//   timestamps  ours: the first TSval of a script stands for the first live one (100, if that came
//               under `<...>`), then both advance by 1 a millisecond; the peer's go through
//               unchanged

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/script/ast.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::script {

class Translation {
 public:
  Translation(const tcp::FlowKey& flow, std::uint32_t our_isn, std::uint32_t peer_isn)
      : flow_(flow), ours_(our_isn), peers_(peer_isn) {}

  const tcp::FlowKey& flow() const { return flow_; }
  /// The next SYN of ours may have any sequence number: a connection begins.
  void begin() { has_isn_ = has_timestamp_ = false; }
  /// A segment of the peer, octets as they arrive.
  std::vector<std::byte> octets_for_engine(const TcpPacket& packet);
  wire::SeqNum live_seq(std::uint32_t seq) const { return wire::SeqNum(seq + ours_); }

  /// Learns from a SYN what it tells: the ISN and the timestamps' offset.
  void learn(const TcpPacket& expected, const support::SentSegment& sent);
  /// What the engine sent, in the script's numbers.
  TcpPacket in_script(const support::SentSegment& sent) const;

 private:
  tcp::FlowKey flow_;
  std::uint32_t ours_;   ///< live - script, of what we send.
  std::uint32_t peers_;  ///< live - script, of what the peer sends.
  std::uint32_t timestamps_ = 0;
  bool has_isn_ = false;
  bool has_timestamp_ = false;
  std::optional<std::uint32_t> peer_syn_;
};

/// The first difference between what was expected and what came, both in script numbers: empty if
/// none. TSval may be off by `clock_tolerance`, for the segment may have come early or late.
std::string difference(const TcpPacket& expected, const TcpPacket& actual,
                       Duration clock_tolerance);

/// As a script would write it.
std::string to_string(const TcpPacket& packet);

/// The payload is what the script's write() put at `script_seq`.
bool has_right_payload(const support::SentSegment& sent, std::uint32_t script_seq);

}  // namespace sluice::script
