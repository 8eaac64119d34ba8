#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::runtime {

/// "a, b, c". (fmt::join trips a false -Wstringop-overflow of gcc 12 at -O3.)
inline std::string join(const std::vector<std::string>& items, std::string_view separator) {
  std::string joined;
  for (const std::string& item : items) {
    if (!joined.empty()) joined += separator;
    joined += item;
  }
  return joined;
}

}  // namespace sluice::runtime
