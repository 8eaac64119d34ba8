#include "telemetry/recorder_reader.hpp"

#include <atomic>
#include <cstddef>
#include <cstring>

namespace sluice::telemetry {
namespace {

std::uint64_t load(const std::uint64_t& word, std::memory_order order) {
  return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(word)).load(order);
}

bool copy_event(const RecorderEvent& slot, std::uint64_t sequence, RecorderEvent& event) {
  if (load(slot.sequence, std::memory_order_acquire) != sequence) return false;
  std::uint64_t words[sizeof(RecorderEvent) / sizeof(std::uint64_t)];
  const auto* source = reinterpret_cast<const std::uint64_t*>(&slot);
  for (std::size_t word = 0; word < std::size(words); ++word)
    words[word] = load(source[word], std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);  // pairs with the fence after record()'s 0
  if (load(slot.sequence, std::memory_order_relaxed) != sequence) return false;
  std::memcpy(&event, words, sizeof event);
  event.sequence = sequence;
  return true;
}

}  // namespace

Recording read_recording(const RecorderHead& head, std::span<const RecorderEvent> ring) {
  Recording recording;
  const std::uint64_t next = load(head.next_sequence, std::memory_order_acquire);
  if (ring.empty() || next <= 1) return recording;
  const std::uint64_t kept = next - 1 < ring.size() ? next - 1 : ring.size();
  recording.overwritten = next - 1 - kept;
  recording.events.reserve(kept);
  for (std::uint64_t sequence = next - kept; sequence < next; ++sequence) {
    RecorderEvent event;
    if (copy_event(ring[sequence % ring.size()], sequence, event)) {
      recording.events.push_back(event);
    } else {
      ++recording.torn;
    }
  }
  return recording;
}

}  // namespace sluice::telemetry
