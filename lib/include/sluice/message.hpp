#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

namespace sluice {

class Worker;

/// What may go from worker to worker: a small value without pointers to what another thread owns,
/// copied octet by octet. Its kind tells it from the application's other messages:
///
///     struct Tally { static constexpr std::uint32_t kKind = 1;  std::uint64_t requests; };
template <class T>
concept MessageValue = std::is_trivially_copyable_v<T> && requires {
  { T::kKind } -> std::convertible_to<std::uint32_t>;
};

/// One message: a value and where it comes from. One cache line.
class Message {
 public:
  static constexpr std::size_t kMaxOctets = 56;  ///< Of a value.
  static constexpr std::uint16_t kNoWorker = 0xffff;

  Message() = default;
  template <MessageValue T>
  explicit Message(const T& value) : kind_(T::kKind), size_(sizeof(T)) {
    static_assert(sizeof(T) <= kMaxOctets, "a message is small: send a key to what is large");
    std::memcpy(octets_.data(), &value, sizeof(T));
  }

  /// The value, if it is a T.
  template <MessageValue T>
  std::optional<T> as() const {
    static_assert(sizeof(T) <= kMaxOctets, "no message is so large");
    if (kind_ != T::kKind || size_ != sizeof(T)) return std::nullopt;
    std::array<std::byte, sizeof(T)> octets;
    std::memcpy(octets.data(), octets_.data(), sizeof(T));
    return std::bit_cast<T>(octets);
  }
  std::uint32_t kind() const { return kind_; }
  /// The worker that posted it; kNoWorker: another thread did (Runtime::post).
  std::uint16_t from() const { return from_; }
  /// For who carries messages.
  void set_from(std::uint16_t worker) { from_ = worker; }

 private:
  std::uint32_t kind_ = 0;
  std::uint16_t size_ = 0;
  std::uint16_t from_ = kNoWorker;
  std::array<std::byte, kMaxOctets> octets_{};
};
static_assert(sizeof(Message) == 64 && std::is_trivially_copyable_v<Message>);

/// What a worker's application hears from other workers; one object a worker
/// (Worker::set_message_handler). Calls come after the burst, as a stream's do, on the worker's own
/// thread. Exceptions must not escape.
class MessageHandler {
 public:
  virtual ~MessageHandler() = default;
  /// Messages of one sender come in the order in which they were posted.
  virtual void on_message(Worker worker, const Message& message) = 0;
  /// post() to worker `to` said kWouldBlock, and half of its places are free now, or it has ended.
  virtual void on_post_room(Worker worker, unsigned to);
};

}  // namespace sluice
