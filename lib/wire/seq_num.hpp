#pragma once

#include <cstdint>

namespace sluice::wire {

/// A TCP sequence number: arithmetic modulo 2^32 (RFC 9293 3.4). It has no operator<, for there is
/// no order on a circle: seq_lt and its kin compare numbers less than 2^31 apart.
class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(std::uint32_t value) : value_(value) {}

  constexpr std::uint32_t value() const { return value_; }
  constexpr bool operator==(const SeqNum&) const = default;
  constexpr SeqNum operator+(std::uint32_t count) const { return SeqNum(value_ + count); }
  constexpr SeqNum operator-(std::uint32_t count) const { return SeqNum(value_ - count); }
  constexpr SeqNum& operator+=(std::uint32_t count) {
    value_ += count;
    return *this;
  }

 private:
  std::uint32_t value_ = 0;
};

/// How many numbers lie from `from` up to `to`, going forward. Precondition: from is not after to.
constexpr std::uint32_t seq_distance(SeqNum from, SeqNum to) {
  return to.value() - from.value();
}
/// The same with a sign: negative if `to` lies before `from`.
constexpr std::int32_t seq_offset(SeqNum from, SeqNum to) {
  return static_cast<std::int32_t>(to.value() - from.value());
}
constexpr bool seq_lt(SeqNum a, SeqNum b) {
  return seq_offset(b, a) < 0;
}
constexpr bool seq_leq(SeqNum a, SeqNum b) {
  return seq_offset(b, a) <= 0;
}
constexpr bool seq_gt(SeqNum a, SeqNum b) {
  return seq_offset(b, a) > 0;
}
constexpr bool seq_geq(SeqNum a, SeqNum b) {
  return seq_offset(b, a) >= 0;
}
/// low <= x < low + size, on the circle.
constexpr bool seq_in_window(SeqNum x, SeqNum low, std::uint32_t size) {
  return x.value() - low.value() < size;
}
constexpr SeqNum seq_max(SeqNum a, SeqNum b) {
  return seq_lt(a, b) ? b : a;
}
constexpr SeqNum seq_min(SeqNum a, SeqNum b) {
  return seq_lt(a, b) ? a : b;
}

}  // namespace sluice::wire
