#define ALLOW_EXPERIMENTAL_API  // rte_ip_frag_table_del_expired_entries, of 18.08
#include "ip/fragment_table.hpp"

#include <rte_ip_frag.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/assert.hpp"
#include "packet/packet.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"

namespace sluice::ip {
namespace {

constexpr std::uint32_t kWays = 8;
constexpr std::size_t kMostOctets = 65'535;
constexpr Duration kBetweenLooks = Duration::from_ms(100);  // each frees a few hundred at most
constexpr Duration kTick = Duration::from_ns(1);            // what is as old as its lifetime lives

std::uint64_t cycles_at(Instant now) {
  return static_cast<std::uint64_t>(now.ns());
}

constexpr std::uint32_t kEcnMask = 3, kEcnCe = 3;

/// Where finish() finds the fragment's ECN bits, whatever mbufs it has.
void note_ecn(rte_mbuf& fragment, std::uint8_t traffic_class) {
  for (rte_mbuf* at = &fragment; at != nullptr; at = at->next)
    at->hash.usr = traffic_class & kEcnMask;
}

/// What the library leaves to do: flags, ECN, and the sum of a header that it has changed. False if
/// a router marked a fragment of what cannot be marked.
bool finish(rte_mbuf& datagram) {
  bool is_marked = false;
  for (const rte_mbuf* at = &datagram; at != nullptr; at = at->next)
    is_marked |= at->hash.usr == kEcnCe;
  datagram.ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  datagram.tx_offload = 0;
  std::byte* const header = rte_pktmbuf_mtod(&datagram, std::byte*);
  const std::uint8_t traffic_class = wire::load_u8(header + 1);
  //= rfc3168#5.3 MUST
  if (is_marked && (traffic_class & kEcnMask) == 0) return false;
  if (is_marked) wire::store_u8(header + 1, static_cast<std::uint8_t>(traffic_class | kEcnCe));
  constexpr std::size_t kSum = 10;
  const std::size_t length = std::size_t{wire::load_u8(header)} % 16 * 4;
  wire::store_be16(header + kSum, 0);
  wire::store_be16(header + kSum, wire::checksum({header, length}));
  return true;
}

}  // namespace

FragmentTable::FragmentTable(std::uint32_t most_mbufs)
    : table_(rte_ip_frag_table_create(kMostDatagrams / kWays, kWays, kMostDatagrams,
                                      static_cast<std::uint64_t>(kLifetime.ns()), SOCKET_ID_ANY)),
      dead_(std::make_unique<rte_ip_frag_death_row>()),  // setup: before the loops
      most_mbufs_(most_mbufs) {
  if (table_ == nullptr) throw std::bad_alloc();  // setup: before the loops
}

FragmentTable::~FragmentTable() {
  rte_ip_frag_table_destroy(table_);
}

FragmentTable::Taken FragmentTable::add(packet::PacketPtr fragment, const wire::Ipv4Header& header,
                                        Instant now) {
  SLUICE_ASSERT(fragment->pkt_len == header.total_length && packet::is_exclusive(*fragment));
  if (std::size_t{header.fragment_offset} + header.total_length > kMostOctets ||
      mbufs_ + fragment->nb_segs > most_mbufs_)
    return {Verdict::kRefused, {}};
  fragment->l2_len = 0;
  fragment->l3_len = header.header_length & 0x1ff;
  note_ecn(*fragment, header.traffic_class);
  mbufs_ += fragment->nb_segs;
  rte_mbuf* const given = fragment.release();
  packet::PacketPtr whole(rte_ipv4_frag_reassemble_packet(
      table_, dead_.get(), given, cycles_at(now), rte_pktmbuf_mtod(given, rte_ipv4_hdr*)));
  // Others may be let go for it: a datagram that is too old, or that it does not fit.
  const bool is_refused =
      std::find(dead_->row, dead_->row + dead_->cnt, given) != dead_->row + dead_->cnt;
  free_dead();
  if (is_refused) return {Verdict::kRefused, {}};
  if (!whole) {
    next_look_ = std::min(next_look_, now + kLifetime + kTick);
    return {Verdict::kKept, {}};
  }
  mbufs_ -= whole->nb_segs;
  if (!finish(*whole)) return {Verdict::kRefused, {}};
  return {Verdict::kWhole, std::move(whole)};
}

std::uint32_t FragmentTable::expire(Instant now) {
  if (now < next_look_) return 0;
  rte_ip_frag_table_del_expired_entries(table_, dead_.get(), cycles_at(now));
  next_look_ = mbufs_ == 0 ? Instant::never() : now + kBetweenLooks;
  return free_dead();
}

std::uint32_t FragmentTable::free_dead() {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < dead_->cnt; ++i) count += dead_->row[i]->nb_segs;
  mbufs_ -= count;
  rte_ip_frag_free_death_row(dead_.get(), 0);
  return count;
}

}  // namespace sluice::ip
