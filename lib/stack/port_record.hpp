#pragma once

// What a port is and how its frames find their workers, for readers of the state region.

#include <array>
#include <cstdint>
#include <type_traits>

#include "base/address.hpp"
#include "base/seqlock.hpp"

namespace sluice::stack {

/// How the frames of a port find the worker that owns their flow.
enum class PortSteering : std::uint8_t {
  kOneWorker,   ///< There is but one.
  kSoftware,    ///< Every frame is hashed by the worker that polls it.
  kFixed,       ///< The port's own key and table were learnt; the runtime hashes by them.
  kProgrammed,  ///< The port hashes by our secret key.
};

/// What the first frames showed of kFixed and kProgrammed.
enum class PortVerdict : std::uint8_t {
  kNone,            ///< Nothing is claimed, so nothing is tested.
  kPending,         ///< Too few frames yet; each is hashed in software, too.
  kVerified,        ///< Frames come to the queues that key and table say: they are trusted.
  kNotAsPredicted,  ///< They do not: software steering is used.
};

/// One a device, shared. Written at the start, but for `verdict`, which a worker writes once.
struct PortRecord {
  static constexpr std::size_t kName = 64;

  SeqVersion version;
  std::uint16_t rx_queues;
  std::uint16_t tx_queues;
  std::uint16_t reta_entries;
  PortSteering steering;
  PortVerdict verdict;
  MacAddr mac;
  std::uint16_t is_in_use;
  std::array<char, kName> device;  ///< As configured, without its arguments; cut off at its end.
  std::array<char, kName> driver;
  std::array<char, 16> interface;  ///< The kernel's, of a net_tap; else empty.
};
static_assert(std::is_trivially_copyable_v<PortRecord> && sizeof(PortRecord) == 164);

/// Frames of one device that one worker polled: whole words, one writer.
struct PortCounts {
  std::uint64_t received;
  std::uint64_t handed_on;      ///< To the worker whose flow it was.
  std::uint64_t lost;           ///< That worker's ring was full.
  std::uint64_t as_predicted;   ///< By the start-up test: on the queue that key and table say, ...
  std::uint64_t not_predicted;  ///< ... or on another.
};

}  // namespace sluice::stack
