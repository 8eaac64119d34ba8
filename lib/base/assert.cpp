#include "base/assert.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace sluice {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  char text[512];
  const int length =
      std::snprintf(text, sizeof text,
                    "sluice: invariant broken: %s (%s:%d); the state region is kept: "
                    "run 'sluicectl conns' and 'sluicectl trace' on this instance\n",
                    expression, file, line);
  if (length > 0) {
    const auto wanted = static_cast<std::size_t>(length);
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, text, wanted < sizeof text ? wanted : sizeof text - 1);
  }
  std::abort();
}

}  // namespace sluice
