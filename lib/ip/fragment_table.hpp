#pragma once

// IPv4 datagrams put together from their fragments (RFC 791 3.2, RFC 1122 3.3.2).

#include <cstdint>
#include <memory>

#include "base/time.hpp"
#include "packet/packet.hpp"
#include "wire/ipv4.hpp"

struct rte_ip_frag_tbl;
struct rte_ip_frag_death_row;

namespace sluice::ip {

/// Fragments that wait for the others of their datagram: rte_ip_frag, with a bound, a lifetime, and
/// the time as an argument. A datagram has 8 fragments at most, kMostDatagrams are under way, and
/// who comes when all places are taken is refused: strangers who send fragments without end keep
/// honest ones out, and nothing else. Fragments that overlap never make a datagram (RFC 5722,
/// 1858).
class FragmentTable {
 public:
  static constexpr std::uint32_t kMostDatagrams = 256;
  //= rfc1122#3.3.2
  /// From the first fragment that came. Less than RFC 1122's 60 s: places are few, and a path that
  /// is slower by that much carries no TCP.
  static constexpr Duration kLifetime = Duration::from_s(15);

  enum class Verdict : std::uint8_t {
    kKept,
    kWhole,    ///< It was the last one that was missing.
    kRefused,  ///< No room, or it is of what cannot be a datagram. It is freed.
  };
  struct Taken {
    Verdict verdict;
    packet::PacketPtr
        datagram;  ///< kWhole: a chain that begins with the IP header, which is right.
  };

  /// `most_mbufs` wait here together, whatever comes: their pool has other users. Takes 128 KiB of
  /// EAL's heap. Throws std::bad_alloc.
  explicit FragmentTable(std::uint32_t most_mbufs);
  ~FragmentTable();
  FragmentTable(const FragmentTable&) = delete;
  FragmentTable& operator=(const FragmentTable&) = delete;

  /// `fragment` begins with its IP header, which passed every check, is nobody else's to read, and
  /// ends where that says.
  Taken add(packet::PacketPtr fragment, const wire::Ipv4Header& header, Instant now);

  /// Frees what is older than its lifetime: how many mbufs. Costs nothing while nothing waits.
  std::uint32_t expire(Instant now);
  /// When expire() has something to do: never, while nothing waits.
  Instant next_deadline() const { return next_look_; }
  std::uint32_t mbufs() const { return mbufs_; }

 private:
  std::uint32_t free_dead();

  rte_ip_frag_tbl* table_;
  std::unique_ptr<rte_ip_frag_death_row> dead_;  ///< What the library lets go.
  std::uint32_t most_mbufs_;
  std::uint32_t mbufs_ = 0;  ///< That wait.
  Instant next_look_ = Instant::never();
};

}  // namespace sluice::ip
