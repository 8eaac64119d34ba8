#include "http_date.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>

namespace httpd {

HttpDate format_date(std::int64_t seconds) {
  const time_t at = seconds;
  tm parts{};
  gmtime_r(&at, &parts);
  std::array<char, 40> text{};
  // The "C" locale: Sluice never sets another.
  strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  HttpDate date;
  std::copy_n(text.begin(), date.size(), date.begin());
  return date;
}

std::optional<std::int64_t> parse_date(std::string_view text) {
  std::array<char, 40> terminated{};
  if (text.size() >= terminated.size()) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  // IMF-fixdate, then the obsolete ones: RFC 850 and asctime().
  for (const char* const form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    tm parts{};
    const char* const end = strptime(terminated.data(), form, &parts);
    if (end != nullptr && *end == '\0' && end == terminated.data() + text.size())
      return timegm(&parts);
  }
  return std::nullopt;
}

}  // namespace httpd
