#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::fuzz {

/// What a fuzzer was given, read from the front as a program. Beyond its end are zeroes.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> octets) : octets_(octets) {}
  bool is_empty() const { return octets_.empty(); }
  std::uint8_t u8() {
    if (octets_.empty()) return 0;
    const std::uint8_t value = octets_.front();
    octets_ = octets_.subspan(1);
    return value;
  }
  std::uint32_t u32() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | u8();
    return value;
  }
  std::span<const std::uint8_t> take(std::size_t count) {
    const auto taken = octets_.first(std::min(count, octets_.size()));
    octets_ = octets_.subspan(taken.size());
    return taken;
  }
  template <std::size_t kCount>
  std::array<std::uint8_t, kCount> array() {
    std::array<std::uint8_t, kCount> values{};
    for (std::uint8_t& value : values) value = u8();
    return values;
  }

 private:
  std::span<const std::uint8_t> octets_;
};

}  // namespace sluice::fuzz
