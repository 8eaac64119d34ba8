#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace httpd {

/// A body in chunks (RFC 9112 7.1), octet by octet between the runs of content. Extensions and
/// trailers are read over; both are bounded. As strict about line ends as the head's parser.
class ChunkedDecoder {
 public:
  static constexpr std::uint32_t kMaxExtension = 256;  ///< Octets of one chunk's; above: 400.
  static constexpr std::uint32_t kMaxTrailer = 8192;   ///< Octets of all trailers; above: 431.

  enum class Status : std::uint8_t { kMore, kDone, kError };
  struct Step {
    Status status = Status::kMore;
    std::size_t taken = 0;     ///< Of the octets given; what follows them is not the body's.
    std::string_view content;  ///< Of the octets taken.
  };

  /// Up to the end of one run of content, of the body, or of `octets`.
  Step feed(std::string_view octets);
  std::uint16_t error() const { return error_; }

 private:
  enum class State : std::uint8_t {
    kSize,       ///< Hexadecimal digits.
    kExtension,  ///< Behind the size.
    kSizeEnd,    ///< The LF behind a size.
    kContent,
    kContentCr,
    kContentLf,
    kTrailerStart,  ///< A trailer line, or the end.
    kTrailer,
    kTrailerLf,
    kLastLf,
    kDone,
  };

  bool step(char octet);
  bool step_size(char octet);
  bool step_trailer(char octet);
  bool fail(std::uint16_t status) {
    error_ = status;
    return false;
  }
  bool expect(char octet, char wanted, State next);

  std::uint64_t left_ = 0;    ///< Of the chunk at hand.
  std::uint32_t beside_ = 0;  ///< Octets of this extension, or of the trailers.
  std::uint16_t error_ = 0;
  std::uint8_t digits_ = 0;
  State state_ = State::kSize;
};

}  // namespace httpd
