#include "tests/support/eal.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "packet/poison.hpp"

#ifdef SLUICE_ASAN
// EAL keeps its tables until the process ends. LeakSanitizer looks for this function by name.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "leak:librte_\nleak:libibverbs\nleak:_dl_init\n";
}
#endif

namespace sluice::support {

void start_eal() {
  std::array<char[24], 9> words = {
      "test",           "--no-huge",         "-m",        "64", "--no-pci", "--no-shconf",
      "--no-telemetry", "--log-level=error", "--lcores=0"};
  std::array<char*, words.size()> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i];
  // EAL binds who starts it to its core: to one CPU, the same for each process of a measurement and
  // for all threads of a test, whatever was theirs.
  cpu_set_t ours;
  const bool is_known = sched_getaffinity(0, sizeof ours, &ours) == 0;
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
    std::fprintf(stderr, "cannot start EAL: %s\n", rte_strerror(rte_errno));
    std::exit(EXIT_FAILURE);
  }
  if (is_known) static_cast<void>(sched_setaffinity(0, sizeof ours, &ours));
}

}  // namespace sluice::support
