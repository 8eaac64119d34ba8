#pragma once

// What a connection or a listener has to tell its application. One list entry per connection, so
// the list cannot overflow; delivered after the burst, never from inside the engine.

#include <cstdint>

namespace sluice::app {

enum Event : std::uint8_t {
  kOpened = 1u << 0,
  kReadable = 1u << 1,  ///< Octets or the end of the stream wait.
  kWritable = 1u << 2,  ///< Room again after a short write.
  kUrgent = 1u << 3,
  kTimer = 1u << 4,
  kClosed = 1u << 5,  ///< The last one.
};

/// A first-in first-out list of records linked by index. `Links` is a callable that gives
/// std::uint32_t& for an index. The record itself remembers whether it is on the list.
template <class Links>
class IndexList {
 public:
  static constexpr std::uint32_t kEnd = 0xffffffffu;

  explicit IndexList(Links links) : links_(links) {}

  void push(std::uint32_t index) {
    links_(index) = kEnd;
    if (tail_ == kEnd) {
      head_ = index;
    } else {
      links_(tail_) = index;
    }
    tail_ = index;
    ++size_;
  }
  /// Precondition: not empty.
  std::uint32_t pop() {
    const std::uint32_t index = head_;
    head_ = links_(index);
    if (head_ == kEnd) tail_ = kEnd;
    --size_;
    return index;
  }
  std::uint32_t first() const { return head_; }  ///< kEnd if empty.
  bool is_empty() const { return head_ == kEnd; }
  std::uint32_t size() const { return size_; }

 private:
  Links links_;
  std::uint32_t head_ = kEnd;
  std::uint32_t tail_ = kEnd;
  std::uint32_t size_ = 0;
};

}  // namespace sluice::app
