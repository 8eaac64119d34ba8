#pragma once

// What the server serves: files read into memory at the start, a built-in page, a pattern.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace httpd {

struct Resource {
  std::vector<std::byte> octets;
  std::string etag;                ///< Strong, of the octets alone, with its quotes.
  std::int64_t last_modified = 0;  ///< Seconds since 1970.
  std::string validators;          ///< Header lines: ETag, Last-Modified.
  std::string fields;              ///< Header lines of a whole answer but for its length.
};

/// Read-only after the start, shared by all workers.
class Content {
 public:
  static constexpr std::uint64_t kMaxOctets = std::uint64_t{1} << 30;

  /// Reads every regular file under `root` (empty: none), symbolic links excepted: a request names
  /// an entry of a table, never a path. Throws std::runtime_error with one line.
  explicit Content(const std::string& root);

  /// Null if there is none; `path` decoded, without a query.
  const Resource* find(std::string_view path) const;
  std::size_t files() const { return resources_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::shared_ptr<const Resource>, Hash, std::equal_to<>>
      resources_;  ///< A folder and its index.html are one.
};

/// The octets of /bytes/N: octet i is pattern()[i % kPatternLength]. The length is a prime, so that
/// a block that went astray by any power of two shows.
inline constexpr std::size_t kPatternLength = 65521;
/// Octet k of it is (197 k + k / 256) mod 256.
std::span<const std::byte> pattern();
/// N of "/bytes/N", if the target is that and N at most 2^40.
std::optional<std::uint64_t> bytes_target(std::string_view target);

}  // namespace httpd
