#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "tests/support/tcp_rig.hpp"

namespace sluice::state {

/// Rows of the matrix: RFC 9293's eleven states, SYN-RECEIVED twice.
enum class Row {
  kClosed,
  kListen,
  kSynSent,
  kHalfOpen,     ///< SYN-RECEIVED of a passive open: an entry of the half-open queue.
  kSynReceived,  ///< SYN-RECEIVED of a simultaneous open: a TCB.
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr std::size_t kRowCount = 12;
std::string_view name_of(Row row);

/// Our and the peer's initial sequence number.
struct Isns {
  std::string_view name;
  wire::SeqNum ours;
  wire::SeqNum peers;
};
/// Each passes 2^31 or 2^32 twice: with the SYN, and with the octets or the FIN at the event.
inline constexpr std::array kIsns = {
    Isns{"ISN 0", wire::SeqNum{0}, wire::SeqNum{0}},
    Isns{"ISN 2^31 - 1", wire::SeqNum{0x7fffffffu}, wire::SeqNum{0x7fffffffu}},
    Isns{"ISN 2^31 - n", wire::SeqNum{0x80000000u - 202}, wire::SeqNum{0x80000000u - 302}},
    Isns{"ISN 2^32 - 1", wire::SeqNum{0xffffffffu}, wire::SeqNum{0xffffffffu}},
    Isns{"ISN 2^32 - n", wire::SeqNum{0u - 202}, wire::SeqNum{0u - 302}},
};

/// What is special about how the state was reached.
enum class Way {
  kUsual,
  kHeldBack,    ///< The peer's window is shut; ten octets (and FIN, where sent) wait for it.
  kUnaccepted,  ///< The connection waits on the accept queue.
  kAllAcked,    ///< Nothing of ours is in flight.
};

/// A connection in a state, brought there by segments and user calls alone.
///
///   ESTABLISHED, CLOSE-WAIT: 200 octets of ours were acknowledged, 100 are in flight; 300 of the
///   peer's were received and read.
///   FIN-WAIT-1, CLOSING, LAST-ACK: the same, but only our FIN is in flight.
struct Fixture {
  Fixture(Row row, const Isns& isns, Way way = Way::kUsual,
          const tcp::EngineConfig& config = support::TcpRig::small_config());

  support::TcpRig rig;
  support::TcpPeer peer;
  ListenerHandle listener;
  ConnHandle connection;

  // Before the event, as the peer can know them.
  wire::SeqNum snd_una;     ///< The oldest octet of ours that is not acknowledged.
  wire::SeqNum snd_nxt;     ///< SND.NXT; with no connection yet, ISS + 1.
  wire::SeqNum rcv_nxt;     ///< RCV.NXT; with no connection yet, where the peer's SYN will be.
  wire::SeqNum right;       ///< Right edge of the window we offered.
  wire::SeqNum honest_ack;  ///< What an honest peer acknowledges in other segments.
  std::uint32_t largest_window = 0;  ///< The largest the peer ever offered.

  /// The row that the connection is in now.
  Row row_now(Row before);

 private:
  void reach(Row row, const Isns& isns, Way way);
  void reach_passively(Row row, Way way);
  void trade_octets();
  void hold_back();
  void take_peers_fin();
};

/// Ports of every fixture.
tcp::FlowKey fixture_flow();

}  // namespace sluice::state
