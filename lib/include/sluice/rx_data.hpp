#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/handle.hpp"

struct rte_mbuf;

namespace sluice {
namespace stack {
class Stack;
class RxChain;
}  // namespace stack

/// Octets received in order, in the very packets that brought them. Move-only. While it lives its
/// buffers count against the connection's receive buffer: keep it as long as you like, and the
/// peer sees a smaller window. Belongs to one worker's thread and must not outlive the runtime.
class RxData {
 public:
  RxData() = default;
  RxData(RxData&& other) noexcept;
  RxData& operator=(RxData&& other) noexcept;
  RxData(const RxData&) = delete;
  RxData& operator=(const RxData&) = delete;
  ~RxData();

  std::size_t size() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }

  /// The first run of contiguous octets; empty only if there are none.
  std::span<const std::byte> front() const;
  /// Calls visit(std::span<const std::byte>) for each run, in order.
  template <class Visitor>
  void for_each(Visitor&& visit) const {
    for (const rte_mbuf* at = head_; at != nullptr; at = next_run(at)) visit(run(at));
  }
  /// Drops `count` octets from the front (all, if there are fewer) and frees what is used up.
  void consume(std::size_t count);
  /// Copies up to out.size() octets from the front, which stay. Gives how many.
  std::size_t copy_to(std::span<std::byte> out) const;
  std::string to_string() const;  ///< All octets, for tests and small messages; allocates.

 private:
  friend class stack::RxChain;
  static const rte_mbuf* next_run(const rte_mbuf* at);
  static std::span<const std::byte> run(const rte_mbuf* at);
  void release();

  rte_mbuf* head_ = nullptr;
  rte_mbuf* tail_ = nullptr;
  std::uint32_t bytes_ = 0;
  std::uint32_t segments_ = 0;
  stack::Stack* owner_ = nullptr;  ///< Who is credited when the octets go.
  ConnHandle connection_;
};

}  // namespace sluice
