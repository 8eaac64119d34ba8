#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace httpd {

using HttpDate = std::array<char, 29>;

/// Seconds since 1970 as "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 5.6.7).
HttpDate format_date(std::int64_t seconds);
/// Any of the three forms that RFC 9110 5.6.7 has a recipient accept; nullopt if it is none.
std::optional<std::int64_t> parse_date(std::string_view text);

}  // namespace httpd
