#pragma once

#include <cstdint>

namespace sluice::tcp {

enum class Pressure : std::uint8_t { kCalm, kPressed, kFull };

/// How near a table or a pool is to its end, by what is free of it. A level is left only a good way
/// above where it began, so that what hovers about a mark is not pressed and calm by turns.
///
///    none   1/32   1/16        1/8                1/4                             all
///     |begin | full | end       |begin   pressed   | end              calm         |
class Watermark {
 public:
  explicit Watermark(std::uint32_t size) : size_(size) {}

  /// Takes a new reading. True if the level rose.
  bool measure(std::uint32_t free) {
    const Pressure before = level_;
    free_ = free;
    if (free <= size_ / 32 || (before == Pressure::kFull && free <= size_ / 16)) {
      level_ = Pressure::kFull;
    } else if (free <= size_ / 8 || (before != Pressure::kCalm && free <= size_ / 4)) {
      level_ = Pressure::kPressed;
    } else {
      level_ = Pressure::kCalm;
    }
    return level_ > before;
  }

  Pressure level() const { return level_; }

  /// How many have to come free for `level` to end; 0 if it does not hold.
  std::uint32_t missing(Pressure level) const {
    if (level_ < level || level == Pressure::kCalm) return 0;
    return (level == Pressure::kFull ? size_ / 16 : size_ / 4) + 1 - free_;
  }

 private:
  std::uint32_t size_;
  std::uint32_t free_ = 0;
  Pressure level_ = Pressure::kCalm;
};

}  // namespace sluice::tcp
