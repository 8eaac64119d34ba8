#include "apps/ctl/peer_state.hpp"

#include "wire/tcp.hpp"

namespace sluice::ctl {

using tcp::State;

wire::SeqNum SegmentView::end() const {
  return seq + payload + (has(wire::kSyn) ? 1u : 0u) + (has(wire::kFin) ? 1u : 0u);
}

void PeerState::infer_opening(const SegmentView& segment) {
  if (segment.has(wire::kSyn)) {
    // RFC 9293 figure 5: LISTEN or SYN-SENT got our SYN, and answers from SYN-RECEIVED. A SYN alone
    // is an active open; in a simultaneous one ours has not arrived yet.
    state_ = segment.has(wire::kAck) ? State::kSynReceived : State::kSynSent;
    return;
  }
  const bool is_opening = !state_ || *state_ == State::kListen || *state_ == State::kSynSent ||
                          *state_ == State::kSynReceived;
  if (is_opening && segment.has(wire::kAck)) state_ = State::kEstablished;
}

/// The transition that our FIN causes, in whichever state it finds the peer.
void PeerState::infer_our_fin_arrived() {
  if (our_fin_acked_) return;
  our_fin_acked_ = true;
  if (state_ == State::kEstablished) state_ = State::kCloseWait;
  if (state_ == State::kFinWait1) state_ = State::kClosing;
  if (state_ == State::kFinWait2) state_ = State::kTimeWait;
  if (state_ == State::kClosing && peer_fin_acked_) state_ = State::kTimeWait;
}

void PeerState::on_received(const SegmentView& segment) {
  if (segment.has(wire::kRst)) {
    state_ = State::kClosed;
    return;
  }
  infer_opening(segment);
  if (segment.has(wire::kAck) && our_fin_sent_ && wire::seq_geq(segment.ack, our_fin_end_))
    infer_our_fin_arrived();
  if (segment.has(wire::kFin) && !peer_fin_seen_) {
    peer_fin_seen_ = true;
    peer_fin_end_ = segment.end();
    if (state_ == State::kCloseWait) {
      state_ = State::kLastAck;
    } else if (state_ == State::kEstablished) {
      state_ = State::kFinWait1;
    }
  }
}

void PeerState::on_sent(const SegmentView& segment) {
  if (segment.has(wire::kRst)) {
    state_ = State::kClosed;
    return;
  }
  if (segment.has(wire::kSyn) && !segment.has(wire::kAck)) {
    our_syn_sent_ = true;
    if (!state_) state_ = State::kListen;
  }
  if (segment.has(wire::kSyn) && segment.has(wire::kAck) && our_syn_sent_ &&
      state_ == State::kSynSent)
    state_ = State::kSynReceived;  // simultaneous open: our SYN has crossed the peer's
  if (segment.has(wire::kAck) && !segment.has(wire::kSyn) && state_ == State::kSynReceived)
    state_ = State::kEstablished;
  if (segment.has(wire::kAck) && peer_fin_seen_ && wire::seq_geq(segment.ack, peer_fin_end_)) {
    const bool is_first = !peer_fin_acked_;
    peer_fin_acked_ = true;
    if (state_ == State::kLastAck) {
      state_ = State::kClosed;
    } else if (is_first && state_ == State::kFinWait1) {
      // Our FIN went first: it finds FIN-WAIT-1, and this ACK finds CLOSING (simultaneous close).
      state_ = our_fin_sent_ && !our_fin_acked_ ? State::kClosing : State::kFinWait2;
    } else if (state_ == State::kClosing && our_fin_acked_) {
      state_ = State::kTimeWait;
    }
  }
  if (segment.has(wire::kFin) && !our_fin_sent_) {
    our_fin_sent_ = true;
    our_fin_end_ = segment.end();
  }
}

}  // namespace sluice::ctl
