#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sluice {

/// The version word that heads a record of the state region. Odd while its one writer is at work.
///
/// The writer marks a record when a burst first touches it and publishes it when the burst ends, so
/// the fast path pays one store each way. A reader in another process copies the whole record and
/// tries again if the version moved.
struct SeqVersion {
  std::uint32_t value = 0;

  void begin_write() {
    std::atomic_ref<std::uint32_t>(value).store(value | 1u, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // pairs with read_record's acquire fence
  }
  void end_write() {
    std::atomic_ref<std::uint32_t>(value).store((value | 1u) + 1u, std::memory_order_release);
  }
  bool is_being_written() const { return (value & 1u) != 0; }
};

/// Between begin_write() and end_write(): all of the record but its version becomes `next`. A plain
/// assignment would copy a version, too, and for a moment the record would seem whole.
template <class Record>
void overwrite_record(Record& record, const Record& next) {
  static_assert(std::is_trivially_copyable_v<Record> && offsetof(Record, version) == 0);
  constexpr std::size_t kVersion = sizeof(SeqVersion);
  std::memcpy(reinterpret_cast<char*>(&record) + kVersion,
              reinterpret_cast<const char*>(&next) + kVersion, sizeof(Record) - kVersion);
}

/// The same with a new record. Copied from a constant: one that is made on the stack for it is
/// written in small pieces and read in large ones, which the core cannot forward.
template <class Record>
void renew_record(Record& record) {
  static constexpr Record kNew{};
  overwrite_record(record, kNew);
}

enum class ReadOutcome : std::uint8_t { kConsistent, kTorn };

/// Copies a record headed by a SeqVersion out of memory that another process writes. Tries 8 times,
/// then gives the last copy marked as torn. Word-wise relaxed loads: no torn word, no lock.
template <class Record>
ReadOutcome read_record(const Record& source, Record& copy) {
  static_assert(std::is_trivially_copyable_v<Record>);
  static_assert(sizeof(Record) % sizeof(std::uint32_t) == 0);
  static_assert(alignof(Record) >= alignof(std::uint32_t));
  const auto load_word = [](const void* at) {
    return std::atomic_ref<std::uint32_t>(
               *const_cast<std::uint32_t*>(static_cast<const std::uint32_t*>(at)))
        .load(std::memory_order_relaxed);
  };
  for (int attempt = 0; attempt < 8; ++attempt) {
    const std::uint32_t before = load_word(&source);
    std::atomic_thread_fence(std::memory_order_acquire);
    for (std::size_t word = 0; word < sizeof(Record) / 4; ++word) {
      const std::uint32_t value = load_word(reinterpret_cast<const char*>(&source) + 4 * word);
      std::memcpy(reinterpret_cast<char*>(&copy) + 4 * word, &value, sizeof value);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((before & 1u) == 0 && load_word(&source) == before) return ReadOutcome::kConsistent;
  }
  return ReadOutcome::kTorn;
}

}  // namespace sluice
