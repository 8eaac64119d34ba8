#pragma once

#include <span>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// What became of a segment's text.
struct TextResult {
  Outcome outcome = Outcome::kSegmentProcessed;
  bool has_advanced = false;  ///< RCV.NXT moved over octets.
  bool is_fin_next = false;   ///< A FIN stands at the new RCV.NXT.
};

/// Step 7: takes payload (and notes FIN) of an acceptable segment into the receive queue or, behind
/// a gap, into reassembly. Trims what lies outside [RCV.NXT, right edge). Owns the packet
/// afterwards.
TextResult take_text(Context& ctx, std::uint32_t index, Segment& segment);

/// The same for segments of which the first lies at RCV.NXT and each other behind the one before,
/// all within the window, with payload behind `header` octets, with nothing behind a gap and no
/// FIN. Their packets are gone afterwards. False if there is no record to keep the octets in.
bool take_in_order(Context& ctx, std::uint32_t index, std::span<InboundSegment> run,
                   std::uint32_t header);

/// Has the peer's payload come before, as far as its SEG.SEQ says? If so the next ACK tells it
/// (D-SACK).
bool note_duplicate(Context& ctx, std::uint32_t index, const Segment& segment);

/// An ACK is owed: it goes with the next segment, or alone when the delayed-ACK timer fires.
void acknowledge_soon(Context& ctx, std::uint32_t index);

/// The FIN was taken: nothing can lie behind it, whatever a broken peer sent.
void discard_out_of_order(Context& ctx, Tcb& block);

}  // namespace sluice::tcp
