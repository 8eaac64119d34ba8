#pragma once

// Responses of HTTP/1.1 (RFC 9112) in any pieces: heads understood as far as a load generator
// needs, bodies counted and passed over. A fixed amount of memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace load {

/// What the head of a response says.
struct ResponseHead {
  enum class Body : std::uint8_t { kLength, kChunked, kUntilClose };

  std::uint16_t status = 0;
  Body body = Body::kUntilClose;
  std::uint64_t length = 0;  ///< Of kLength.
  bool closes = false;       ///< The server closes behind this response.
};

/// The last head that came whole in one piece: a server under load says the same again and again,
/// and comparing costs a tenth of reading. Shared by the readers of one thread.
class HeadMemory {
 public:
  /// True if `octets` begin with the head remembered; `size` is its length then.
  bool recalls(std::span<const std::byte> octets, ResponseHead& head, std::size_t& size) const;
  void remember(std::span<const std::byte> octets, const ResponseHead& head);

 private:
  std::array<std::byte, 1024> octets_;
  std::size_t size_ = 0;  ///< 0: none.
  ResponseHead head_;
};

class ResponseReader {
 public:
  static constexpr std::size_t kMaxLine = 96;     ///< Of a line that matters, in pieces.
  static constexpr std::size_t kMaxHead = 65536;  ///< Octets of a head.

  enum class Status : std::uint8_t {
    kMore,      ///< All octets were taken; the response goes on.
    kComplete,  ///< response() stands; octets behind it were not taken.
    kError,     ///< That is no HTTP, and where it ends nobody knows.
  };

  /// Takes octets up to the end of one response; `taken` says how many. Begins with the next
  /// response after kComplete.
  Status feed(std::span<const std::byte> octets, std::size_t& taken, HeadMemory& memory);
  /// The server has closed: true if that ends a response (one without a length), or none had begun.
  bool may_end_here() const;
  bool is_at_start() const { return state_ == State::kHead && head_octets_ == 0; }
  /// Of the response that is complete, or under way once its head is.
  const ResponseHead& response() const { return head_; }
  void reset() { *this = ResponseReader(); }

 private:
  enum class State : std::uint8_t {
    kHead,
    kBody,       ///< left_ octets, or all that come if left_ is kNoEnd.
    kChunkSize,  ///< The line with a chunk's size.
    kChunk,      ///< left_ octets of a chunk.
    kChunkEnd,   ///< The line end behind a chunk.
    kTrailer,    ///< Fields behind the last chunk, up to an empty line.
  };
  static constexpr std::uint64_t kNoEnd = ~std::uint64_t{0};

  Status feed_head(std::span<const std::byte> octets, std::size_t& taken, HeadMemory& memory);
  Status feed_body(std::span<const std::byte> octets, std::size_t& taken);
  Status feed_chunked(std::span<const std::byte> octets, std::size_t& taken);
  /// Completes a line with octets from the front. False: it goes on.
  bool take_line(std::span<const std::byte> octets, std::size_t& taken, std::string_view& line);
  bool read_line(std::string_view line);
  bool read_status_line(std::string_view line);
  bool read_field(std::string_view line);
  void conclude_head();
  /// What follows the head.
  Status end_head();
  Status end_response();

  State state_ = State::kHead;
  bool has_status_line_ = false;
  bool is_line_cut_ = false;  ///< It is longer than line_.
  bool saw_length_ = false;
  bool is_http_1_0_ = false;
  bool stays_open_ = false;  ///< "Connection: keep-alive".
  std::uint16_t line_octets_ = 0;
  std::uint32_t head_octets_ = 0;
  std::uint64_t left_ = 0;
  ResponseHead head_;
  std::array<char, kMaxLine> line_;  ///< What came of a line that is not whole yet.
};

}  // namespace load
