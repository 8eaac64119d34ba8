#pragma once

// The flight recorder from the reader's side: another process, or the same one after the fact.

#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/recorder.hpp"

namespace sluice::telemetry {

/// What a ring held, oldest event first.
struct Recording {
  std::vector<RecorderEvent> events;
  std::uint64_t overwritten = 0;  ///< Events that the ring had no room to keep.
  std::uint64_t torn = 0;         ///< Events skipped: written, or overwritten, while being read.
};

/// Copies the whole ring. Never blocks the writer and needs none: a slot that a dying writer left
/// half-written counts as torn.
Recording read_recording(const RecorderHead& head, std::span<const RecorderEvent> ring);

}  // namespace sluice::telemetry
