#include "apps/ctl/peer_state.hpp"

#include <catch2/catch.hpp>

#include "wire/tcp.hpp"

namespace {

using namespace sluice;
using ctl::PeerState;
using tcp::State;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;

/// Both ends' ISNs lie just before the wrap.
constexpr std::uint32_t kOurs = 0xfffffffe;
constexpr std::uint32_t kPeers = 0xffffffff;

/// Numbers relative to the ISNs.
struct Watched {
  PeerState peer;

  State sends(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack = 0,
              std::uint32_t payload = 0) {
    peer.on_sent({flags, wire::SeqNum(kOurs + seq), wire::SeqNum(kPeers + ack), payload});
    return peer.state().value_or(State::kClosed);
  }
  State receives(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack = 0,
                 std::uint32_t payload = 0) {
    peer.on_received({flags, wire::SeqNum(kPeers + seq), wire::SeqNum(kOurs + ack), payload});
    return peer.state().value_or(State::kClosed);
  }
  void peer_opens() {
    CHECK_FALSE(peer.state().has_value());
    CHECK(receives(kSyn, 0) == State::kSynSent);
    CHECK(sends(kSyn | kAck, 0, 1) == State::kSynSent);
    CHECK(receives(kAck, 1, 1) == State::kEstablished);
  }
  void we_open() {
    CHECK(sends(kSyn, 0) == State::kListen);
    CHECK(receives(kSyn | kAck, 0, 1) == State::kSynReceived);
    CHECK(sends(kAck, 1, 1) == State::kEstablished);
  }
};

}  // namespace

TEST_CASE("a peer that opens goes from SYN-SENT to ESTABLISHED with its ACK",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.peer_opens();
}

TEST_CASE("a peer that we open to goes from LISTEN by SYN-RECEIVED to ESTABLISHED",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.we_open();
}

TEST_CASE("a repeated SYN says that the peer is still in SYN-SENT", "[ctl][peer_state]") {
  Watched watched;
  watched.receives(kSyn, 0);
  watched.sends(kSyn | kAck, 0, 1);
  CHECK(watched.receives(kSyn, 0) == State::kSynSent);
}

TEST_CASE("data that comes with the handshake's last ACK proves ESTABLISHED too",
          "[ctl][peer_state]") {
  Watched watched;
  watched.receives(kSyn, 0);
  watched.sends(kSyn | kAck, 0, 1);
  CHECK(watched.receives(kAck, 1, 1, 100) == State::kEstablished);
}

TEST_CASE("a simultaneous open leads the peer by SYN-RECEIVED", "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.sends(kSyn, 0);
  CHECK(watched.receives(kSyn, 0) == State::kSynSent);
  CHECK(watched.sends(kSyn | kAck, 0, 1) == State::kSynReceived);
  CHECK(watched.receives(kSyn | kAck, 0, 1) == State::kSynReceived);
  CHECK(watched.receives(kAck, 1, 1, 5) == State::kEstablished);
}

TEST_CASE("we close first: the peer goes by CLOSE-WAIT and LAST-ACK to CLOSED",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.peer_opens();
  CHECK(watched.sends(kFin | kAck, 1, 1) == State::kEstablished);
  CHECK(watched.receives(kAck, 1, 2) == State::kCloseWait);
  CHECK(watched.receives(kAck, 1, 2, 50) == State::kCloseWait);
  CHECK(watched.receives(kFin | kAck, 51, 2) == State::kLastAck);
  CHECK(watched.sends(kAck, 2, 52) == State::kClosed);
}

TEST_CASE("we close first, and the peer's FIN comes with the ACK of ours",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.we_open();
  watched.sends(kFin | kAck, 1, 1);
  CHECK(watched.receives(kFin | kAck, 1, 2) == State::kLastAck);
  CHECK(watched.sends(kAck, 2, 2) == State::kClosed);
}

TEST_CASE("the peer closes first: it goes by FIN-WAIT-1 and FIN-WAIT-2 to TIME-WAIT",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.peer_opens();
  CHECK(watched.receives(kFin | kAck, 1, 1) == State::kFinWait1);
  CHECK(watched.sends(kAck, 1, 2) == State::kFinWait2);
  CHECK(watched.sends(kAck, 1, 2, 10) == State::kFinWait2);
  CHECK(watched.sends(kFin | kAck, 11, 2) == State::kFinWait2);
  CHECK(watched.receives(kAck, 2, 12) == State::kTimeWait);
}

TEST_CASE("the peer closes first, and our FIN goes with the ACK of its own",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.peer_opens();
  watched.receives(kFin | kAck, 1, 1);
  CHECK(watched.sends(kFin | kAck, 1, 2) == State::kFinWait2);
  CHECK(watched.receives(kAck, 2, 2) == State::kTimeWait);
}

TEST_CASE("an ACK that does not reach our FIN proves nothing of its arrival", "[ctl][peer_state]") {
  Watched watched;
  watched.peer_opens();
  watched.sends(kFin | kAck, 1, 1, 100);
  CHECK(watched.receives(kAck, 1, 51) == State::kEstablished);
  CHECK(watched.receives(kAck, 1, 102) == State::kCloseWait);
}

TEST_CASE("a simultaneous close leads the peer by CLOSING to TIME-WAIT",
          "[ctl][peer_state][rfc9293]") {
  Watched watched;
  watched.peer_opens();
  watched.sends(kFin | kAck, 1, 1);
  CHECK(watched.receives(kFin | kAck, 1, 1) == State::kFinWait1);
  CHECK(watched.sends(kAck, 2, 2) == State::kClosing);
  CHECK(watched.receives(kAck, 2, 2) == State::kTimeWait);
}

TEST_CASE("a simultaneous close in which the peer's ACK overtakes ours ends the same",
          "[ctl][peer_state]") {
  Watched watched;
  watched.peer_opens();
  watched.sends(kFin | kAck, 1, 1);
  watched.receives(kFin | kAck, 1, 1);
  CHECK(watched.receives(kAck, 2, 2) == State::kClosing);
  CHECK(watched.sends(kAck, 2, 2) == State::kTimeWait);
}

TEST_CASE("a FIN that is sent again changes nothing", "[ctl][peer_state]") {
  Watched watched;
  watched.peer_opens();
  watched.sends(kFin | kAck, 1, 1);
  watched.receives(kAck, 1, 2);
  watched.receives(kFin | kAck, 1, 2);
  CHECK(watched.sends(kAck, 2, 2) == State::kClosed);
  CHECK(watched.receives(kFin | kAck, 1, 2) == State::kClosed);
}

TEST_CASE("RST closes the peer, whoever sends it", "[ctl][peer_state][rfc9293]") {
  Watched refused;
  refused.sends(kSyn, 0);
  CHECK(refused.receives(kRst | kAck, 0, 1) == State::kClosed);
  Watched aborted;
  aborted.peer_opens();
  CHECK(aborted.sends(kRst | kAck, 1, 1) == State::kClosed);
}

TEST_CASE("a connection seen from its middle is taken for ESTABLISHED until a FIN says more",
          "[ctl][peer_state]") {
  Watched watched;
  CHECK(watched.receives(kAck, 5000, 7000, 10) == State::kEstablished);
  CHECK(watched.receives(kFin | kAck, 5010, 7000) == State::kFinWait1);
}
