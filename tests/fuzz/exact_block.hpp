#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

namespace sluice::fuzz {

/// A copy of some octets in a heap block of exactly their number, so that AddressSanitizer sees the
/// first octet read beyond them.
class ExactBlock {
 public:
  explicit ExactBlock(std::span<const std::byte> octets)
      : octets_(new std::byte[octets.size()]), count_(octets.size()) {
    if (!octets.empty()) std::memcpy(octets_.get(), octets.data(), octets.size());
  }

  std::span<const std::byte> view() const { return {octets_.get(), count_}; }
  std::span<std::byte> view() { return {octets_.get(), count_}; }

 private:
  std::unique_ptr<std::byte[]> octets_;
  std::size_t count_;
};

}  // namespace sluice::fuzz
