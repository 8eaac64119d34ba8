#include "tcp/gate/syn_cookie.hpp"

#include "tcp/demux/flow_hash.hpp"

namespace sluice::tcp {
namespace {

/// What clients of the Internet announce: nothing below what we take, the floor of RFC 9293, IPv6's
/// least, mobile networks, IPv6, PPPoE, Ethernet, jumbo frames.
constexpr std::array<std::uint16_t, 8> kMss = {64, 536, 1220, 1360, 1440, 1452, 1460, 8960};
constexpr unsigned kFineSteps = 8;

constexpr unsigned kMacShift = 10, kSlotShift = 9, kMssShift = 6, kScaleShift = 2, kSackShift = 1;
constexpr std::uint32_t kFactsMask = (1u << kMacShift) - 1;
constexpr std::uint32_t kNoScale = 15;

struct MssCode {
  std::uint8_t coarse = 0;
  std::uint8_t fine = 0;
};

/// Distance from an entry to the next; 0 for the last.
constexpr unsigned step_of(unsigned coarse) {
  return coarse + 1 < kMss.size() ? kMss[coarse + 1] - kMss[coarse] : 0u;
}

MssCode encode_mss(std::uint16_t mss) {
  unsigned coarse = 0;
  while (coarse + 1 < kMss.size() && kMss[coarse + 1] <= mss) ++coarse;
  const unsigned step = step_of(coarse);
  const unsigned above = mss > kMss[coarse] ? mss - kMss[coarse] : 0u;
  return {static_cast<std::uint8_t>(coarse),
          static_cast<std::uint8_t>(step == 0 ? 0 : above * kFineSteps / step)};
}

std::uint16_t decode_mss(MssCode code) {
  return static_cast<std::uint16_t>(kMss[code.coarse] +
                                    step_of(code.coarse) * code.fine / kFineSteps);
}

std::uint32_t pack(const CookieFacts& facts, std::uint8_t coarse_mss, std::uint64_t slot) {
  const std::uint32_t scale = facts.peer_wscale == 0xff ? kNoScale : facts.peer_wscale;
  return static_cast<std::uint32_t>(slot & 1) << kSlotShift |
         std::uint32_t{coarse_mss} << kMssShift | scale << kScaleShift |
         std::uint32_t{facts.sack} << kSackShift | std::uint32_t{facts.ecn};
}

/// The MAC in its place, over everything that the low bits say.
std::uint32_t mac_of(const HashKey& key, const FlowKey& flow, wire::SeqNum irs,
                     std::uint32_t low_bits) {
  return static_cast<std::uint32_t>(
             flow_hash(key, flow, std::uint64_t{low_bits} << 32 | irs.value())) &
         ~kFactsMask;
}

}  // namespace

std::uint16_t cookie_mss(std::uint16_t mss, bool is_fine) {
  MssCode code = encode_mss(mss);
  if (!is_fine) code.fine = 0;
  return decode_mss(code);
}

void SynCookies::derive(SlotKey& kept, std::uint64_t slot) const {
  kept.key = derive_key(master_, slot);
  kept.slot = slot;
}

SynCookies::Cookie SynCookies::make(const FlowKey& flow, wire::SeqNum irs, const CookieFacts& facts,
                                    Instant now) {
  const std::uint64_t slot = slot_at(now);
  const MssCode mss = encode_mss(facts.peer_mss);
  const std::uint32_t low_bits = pack(facts, mss.coarse, slot);
  return {wire::SeqNum(mac_of(key_of(slot), flow, irs, low_bits) | low_bits), mss.fine};
}

std::optional<CookieFacts> SynCookies::check(const FlowKey& flow, wire::SeqNum irs,
                                             wire::SeqNum iss, std::optional<std::uint32_t> ts_ecr,
                                             Instant now) {
  const std::uint32_t low_bits = iss.value() & kFactsMask;
  // The latest slot that a clock ahead of ours may be in, or the one before it.
  std::uint64_t slot = slot_at(now + clock_.error);
  if ((slot & 1) != (low_bits >> kSlotShift & 1)) --slot;
  if (mac_of(key_of(slot), flow, irs, low_bits) != (iss.value() & ~kFactsMask)) return std::nullopt;
  const auto scale = static_cast<std::uint8_t>(low_bits >> kScaleShift & 15);
  const MssCode mss{static_cast<std::uint8_t>(low_bits >> kMssShift & 7),
                    static_cast<std::uint8_t>(ts_ecr.value_or(0) & (kFineSteps - 1))};
  return CookieFacts{.peer_mss = decode_mss(mss),
                     .peer_wscale = scale == kNoScale ? std::uint8_t{0xff} : scale,
                     .sack = (low_bits >> kSackShift & 1) != 0,
                     .ecn = (low_bits & 1) != 0};
}

}  // namespace sluice::tcp
