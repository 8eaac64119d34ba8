#include "message.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace load {

std::span<const std::byte> pattern() {
  static const auto table = [] {
    std::array<std::byte, kPatternLength> octets{};
    for (std::size_t k = 0; k < octets.size(); ++k)
      octets[k] = static_cast<std::byte>((197 * k + k / 256) & 0xff);
    return octets;
  }();
  return table;
}

Message::Message(std::string text, std::uint64_t body, std::uint32_t pipeline)
    : text_(text.size()), body_(body), repeated_(std::move(text)) {
  constexpr std::size_t kMostRepeated = 16384;
  if (body_ > 0 || text_ == 0) return;
  const std::string one = repeated_;
  const std::size_t copies =
      std::clamp<std::size_t>(kMostRepeated / text_, 1, std::max(pipeline, 1u));
  for (std::size_t i = 1; i < copies; ++i) repeated_ += one;
}

std::span<const std::byte> Message::body_run(std::uint64_t position) const {
  const std::size_t offset = position % kPatternLength;
  return pattern().subspan(offset,
                           std::min<std::uint64_t>(kPatternLength - offset, body_ - position));
}

}  // namespace load
