#pragma once

// The octets of a request, made before the run, so that nothing is formatted or allocated in it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace load {

/// Octet k of the pattern that bodies and echoes repeat is (197 k + k / 256) mod 256. Its length is
/// a prime, so that a block which went astray by any power of two shows.
inline constexpr std::size_t kPatternLength = 65521;
std::span<const std::byte> pattern();

/// A request: a text, then `body` octets of the pattern from its start.
class Message {
 public:
  /// `pipeline`: how many may be sent at once.
  Message(std::string text, std::uint64_t body, std::uint32_t pipeline);

  std::uint64_t size() const { return text_ + body_; }
  /// The longest run of octets from `position` (below size()) of the first of `count` messages that
  /// are sent one behind the other. It may reach into later ones.
  std::span<const std::byte> run(std::uint64_t position, std::uint64_t count) const {
    if (position >= text_) return body_run(position - text_);
    const std::uint64_t wanted = body_ == 0 ? count * text_ : text_;
    const std::uint64_t end = std::uint64_t{repeated_.size()} < wanted ? repeated_.size() : wanted;
    return std::as_bytes(std::span(repeated_)).subspan(position, end - position);
  }

 private:
  std::span<const std::byte> body_run(std::uint64_t position) const;

  std::uint64_t text_;  ///< Octets of one.
  std::uint64_t body_;
  std::string repeated_;  ///< The text, several times if there is no body.
};

}  // namespace load
