#include "ip/prefix_filter.hpp"

#include <algorithm>

namespace sluice::ip {
namespace {

/// The first octet in the highest bits.
template <class Word>
Word word_of_octets(std::span<const std::uint8_t> octets) {
  Word word = 0;
  for (const std::uint8_t octet : octets) word = static_cast<Word>(word << 8 | octet);
  return word;
}

template <class Word>
struct Range {
  Word first;
  Word last;
  SourceAction action;
  std::size_t place;  ///< Among the rules given.
};

template <class Word>
Range<Word> range_of(const PrefixRule& rule, std::size_t place) {
  constexpr unsigned kBits = 8 * sizeof(Word);
  const std::span<const std::uint8_t> octets = rule.prefix.address.octets();
  const auto first = word_of_octets<Word>(octets.last(sizeof(Word)));
  const unsigned length = rule.prefix.length;
  // Shifting a word by all of its bits is undefined.
  const Word beyond = length == kBits ? Word{0} : static_cast<Word>(~Word{0} >> length);
  return {first, static_cast<Word>(first | beyond), rule.action, place};
}

template <class Word>
struct Boundary {
  Word start;
  SourceAction action;
};

/// Walks the ranges, which lie inside one another or apart, from the lowest address: where one
/// begins its action holds, where it ends that of the range around it does again.
template <class Word>
std::vector<Boundary<Word>> boundaries_of(std::span<const Range<Word>> ranges,
                                          SourceAction otherwise) {
  std::vector<Boundary<Word>> boundaries = {{0, otherwise}};
  std::vector<Range<Word>> open;
  const auto begin = [&](Word start, SourceAction action) {
    if (boundaries.back().start == start)
      boundaries.back().action = action;
    else
      boundaries.push_back({start, action});
  };
  const auto end_last = [&] {
    const Word last = open.back().last;
    open.pop_back();
    if (last != static_cast<Word>(~Word{0}))
      begin(static_cast<Word>(last + 1), open.empty() ? otherwise : open.back().action);
  };
  for (const Range<Word>& range : ranges) {
    while (!open.empty() && open.back().last < range.first) end_last();
    begin(range.first, range.action);
    open.push_back(range);
  }
  while (!open.empty()) end_last();
  return boundaries;
}

}  // namespace

std::optional<Prefix> parse_source_prefix(std::string_view text) {
  std::optional<Prefix> prefix;
  if (text.find('/') != std::string_view::npos) {
    prefix = parse_prefix(text);
  } else if (const auto address = parse_ip(text)) {
    prefix = Prefix{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)};
  }
  if (!prefix) return std::nullopt;
  const auto& octets = prefix->address.octets();
  for (unsigned bit = prefix->length + (prefix->address.is_v4() ? 96u : 0u); bit < 128; ++bit)
    if ((octets[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
  return prefix;
}

template <class Word>
PrefixFilter::Line<Word>::Line(std::span<const PrefixRule> rules, SourceAction otherwise) {
  constexpr bool kIsV4 = sizeof(Word) == 4;
  std::vector<Range<Word>> ranges;
  for (const PrefixRule& rule : rules)
    if (rule.prefix.address.is_v4() == kIsV4) ranges.push_back(range_of<Word>(rule, ranges.size()));
  // The outer before the inner; of equal ones the last given comes last, and so wins.
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first < b.first;
    return a.last != b.last ? a.last > b.last : a.place < b.place;
  });
  const auto boundaries = boundaries_of<Word>(ranges, otherwise);
  is_first_denied_ = boundaries.front().action == SourceAction::kDeny;
  SourceAction action = boundaries.front().action;
  for (const auto& boundary : boundaries) {
    if (boundary.action == action) continue;
    action = boundary.action;
    flips_.push_back(boundary.start);
  }
  flips_.shrink_to_fit();
}

template <class Word>
bool PrefixFilter::Line<Word>::is_denied(Word address) const {
  // Halves without a branch on the outcome, which for a flood's sources nobody can predict.
  const Word* first = flips_.data();
  std::size_t count = flips_.size();
  while (count > 0) {
    const std::size_t half = (count + 1) / 2;
    first += first[half - 1] <= address ? half : 0;
    count -= half;
  }
  const auto passed = static_cast<std::size_t>(first - flips_.data());
  return is_first_denied_ != (passed % 2 != 0);
}

PrefixFilter::Word128 PrefixFilter::word_of(const IpAddr& address) {
  return word_of_octets<Word128>(address.octets());
}

PrefixFilter::PrefixFilter(std::span<const PrefixRule> rules, SourceAction otherwise)
    : v4_(rules, otherwise), v6_(rules, otherwise) {}

bool PrefixFilter::is_denied(const IpAddr& source) const {
  return source.is_v4() ? is_denied(source.v4()) : v6_.is_denied(word_of(source));
}

template class PrefixFilter::Line<std::uint32_t>;
template class PrefixFilter::Line<PrefixFilter::Word128>;

}  // namespace sluice::ip
