#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sluice/worker.hpp"

namespace sluice::stack {

/// Memory for the handlers that one listener makes: address space for the most there can be, taken
/// when the listener opens; pages come into being as connections do. Freed slots are used first.
class HandlerPool {
 public:
  HandlerPool(std::unique_ptr<HandlerFactory> factory, std::uint32_t capacity);
  ~HandlerPool();
  HandlerPool(const HandlerPool&) = delete;
  HandlerPool& operator=(const HandlerPool&) = delete;

  /// Null if all are in use.
  StreamHandler* make();
  void destroy(StreamHandler* handler);
  std::uint32_t in_use() const { return in_use_; }
  /// True if make() of this pool gave `handler`.
  bool holds(const StreamHandler* handler) const {
    const auto* const at = reinterpret_cast<const std::byte*>(handler);
    return at >= memory_ && at < memory_ + bytes_;
  }

 private:
  std::unique_ptr<HandlerFactory> factory_;
  std::size_t stride_;
  std::uint32_t capacity_;
  std::uint32_t touched_ = 0;
  std::uint32_t in_use_ = 0;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::byte* free_ = nullptr;
};

}  // namespace sluice::stack
