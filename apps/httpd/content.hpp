#pragma once

// What the server serves: files read into memory at the start, a built-in page, a pattern.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace httpd {

struct Resource {
  std::string content_type;
  std::vector<std::byte> octets;
};

/// Read-only after the start, shared by all workers.
class Content {
 public:
  static constexpr std::uint64_t kMaxOctets = std::uint64_t{1} << 30;

  /// Reads every regular file under `root` (empty: none), symbolic links excepted: a request names
  /// an entry of a table, never a path. Throws std::runtime_error with one line.
  explicit Content(const std::string& root);

  /// Null if there is none; `target` without its query.
  const Resource* find(std::string_view target) const;
  std::size_t files() const { return resources_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, Resource, Hash, std::equal_to<>> resources_;
};

/// The octets of /bytes/N: octet i is pattern()[i % kPatternLength]. The length is a prime, so that
/// a block that went astray by any power of two shows.
inline constexpr std::size_t kPatternLength = 65521;
/// Octet k of it is (197 k + k / 256) mod 256.
std::span<const std::byte> pattern();
/// N of "/bytes/N", if the target is that and N at most 2^40.
std::optional<std::uint64_t> bytes_target(std::string_view target);

}  // namespace httpd
