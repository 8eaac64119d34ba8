#pragma once

// How the flow table's buckets become more, one at a time: which bucket a hash belongs to, and
// what moves when the next bucket comes.

#include <array>
#include <cstdint>

namespace sluice::tcp {

/// Linear hashing with partial expansions. The buckets are rows of 2^k groups; a group has a bucket
/// in each row. A level begins with 4 rows and ends with 8, which are then 4 rows of twice as many
/// groups. New buckets stand behind all others, so that what was there keeps its address:
///
///      groups  0 1 2 3 4 5 6 7
///      row 0   . . . . . . . .
///      row 1   . . . . . . . .       three bits of the hash above the group's say in which row an
///      row 2   . . . . . . . .       entry lies in the end; until that row has come, in the row
///      four row 3   . . . . . . . .       before it, or in a later one to which it is lent row 4
///      . . . . . . . . row 5   . . .|                <- three groups have it; the next bucket is
///      group 3's
///
/// With a doubling, or with one split a bucket, half of the buckets would at times hold twice what
/// the others hold. Here the fullest hold 1.36 times the mean at most, which is why memory can
/// follow the number of entries. Lending is what levels the load: of the entries that wait for a
/// row, five bits of the hash pick those that go to the newest row meanwhile. A new bucket is
/// filled from the four buckets of its group before it, and nothing else moves.
class BucketGrowth {
 public:
  static constexpr std::uint32_t kSources = 4;
  static constexpr std::uint32_t kFirstBuckets = 16;

  /// The bucket of a hash.
  std::uint32_t home(std::uint64_t hash) const {
    const std::uint32_t group = group_of(hash);
    const std::uint32_t stage = stage_ + (group < expanded_ ? 1 : 0);
    return group + (std::uint32_t{kRows[stage][part_of(hash)]} << shift_);
  }
  std::uint32_t bucket_count() const { return ((4 + stage_) << shift_) + expanded_; }

  // --- the next bucket: its number is bucket_count() ---

  /// The bucket from which some of it comes, `which` below kSources.
  std::uint32_t source(std::uint32_t which) const {
    return expanded_ + ((stage_ + which) << shift_);
  }
  /// False if no hash with these highest bits moves from that source.
  bool may_move(std::uint32_t which, std::uint32_t highest_five) const {
    return (kMovers[stage_][which] >> highest_five & 1) != 0;
  }
  /// Whether the next bucket will be the home of this hash.
  bool moves(std::uint64_t hash) const {
    return group_of(hash) == expanded_ && kRows[stage_ + 1][part_of(hash)] == 4 + stage_;
  }
  void grow() {
    if (++expanded_ < 1u << shift_) return;
    expanded_ = 0;
    if (++stage_ < 4) return;
    stage_ = 0;
    ++shift_;
  }

  /// Of the last five bits of a part, those below which an entry is lent to row 4, 5 or 6 while it
  /// waits for a later one.
  static constexpr std::uint32_t kLent[] = {7, 15, 24};

  /// The row among `rows` of a part: the final row, and above it five more bits.
  static constexpr std::uint32_t row_of(std::uint32_t rows, std::uint32_t part) {
    const std::uint32_t last = part & 7, five = part >> 3;
    if (last < rows) return last;
    for (std::uint32_t newer = 0; 4 + newer < rows; ++newer)
      if (five < kLent[newer]) return 4 + newer;
    return last - 4;
  }

 private:
  using Rows = std::array<std::array<std::uint8_t, 256>, 5>;
  using Movers = std::array<std::array<std::uint32_t, kSources>, 4>;

  static constexpr Rows make_rows() {
    Rows rows{};
    for (std::uint32_t stage = 0; stage < 5; ++stage)
      for (std::uint32_t part = 0; part < 256; ++part)
        rows[stage][part] = static_cast<std::uint8_t>(row_of(4 + stage, part));
    return rows;
  }
  static constexpr Movers make_movers() {
    Movers movers{};
    for (std::uint32_t stage = 0; stage < 4; ++stage)
      for (std::uint32_t part = 0; part < 256; ++part)
        if (row_of(5 + stage, part) == 4 + stage)
          movers[stage][row_of(4 + stage, part) - stage] |= 1u << (part >> 3);
    return movers;
  }
  static const Rows kRows;
  static const Movers kMovers;

  std::uint32_t group_of(std::uint64_t hash) const {
    return static_cast<std::uint32_t>(hash) & ((1u << shift_) - 1);
  }
  std::uint32_t part_of(std::uint64_t hash) const {
    return static_cast<std::uint32_t>((hash >> shift_ & 7) | hash >> 59 << 3);
  }

  std::uint32_t shift_ = 2;     ///< 2^shift_ groups.
  std::uint32_t stage_ = 0;     ///< Rows that are complete, less 4.
  std::uint32_t expanded_ = 0;  ///< Groups that have one row more.
};

inline constexpr BucketGrowth::Rows BucketGrowth::kRows = make_rows();
inline constexpr BucketGrowth::Movers BucketGrowth::kMovers = make_movers();

}  // namespace sluice::tcp
