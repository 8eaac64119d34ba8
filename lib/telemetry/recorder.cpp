#include "telemetry/recorder.hpp"

#include <atomic>
#include <cstddef>
#include <cstring>

namespace sluice::telemetry {
namespace {

constexpr std::size_t kWords = sizeof(RecorderEvent) / sizeof(std::uint64_t);
constexpr std::size_t kSequenceWord = offsetof(RecorderEvent, sequence) / sizeof(std::uint64_t);
static_assert(offsetof(RecorderEvent, sequence) % sizeof(std::uint64_t) == 0);

}  // namespace

// A reader takes a slot only if it finds the same non-zero sequence before and after its copy.
void Recorder::record(const RecorderEvent& event) {
  if (ring_.empty()) return;
  std::atomic_ref<std::uint64_t> next(head_->next_sequence);
  const std::uint64_t stored = next.load(std::memory_order_relaxed);
  const std::uint64_t sequence = stored == 0 ? 1 : stored;  // the mapping starts zero-filled

  RecorderEvent& slot = ring_[sequence % ring_.size()];
  std::atomic_ref<std::uint64_t> mark(slot.sequence);
  mark.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // no word of the new event before the 0

  std::uint64_t words[kWords];
  std::memcpy(words, &event, sizeof words);
  auto* target = reinterpret_cast<std::uint64_t*>(&slot);
  for (std::size_t word = 0; word < kWords; ++word) {
    if (word == kSequenceWord) continue;
    std::atomic_ref<std::uint64_t>(target[word]).store(words[word], std::memory_order_relaxed);
  }
  mark.store(sequence, std::memory_order_release);
  next.store(sequence + 1, std::memory_order_release);
}

}  // namespace sluice::telemetry
