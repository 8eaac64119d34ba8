#include "bench/engine/resident.hpp"

#include <unistd.h>

#include <fstream>

namespace sluice::bench {

std::uint64_t resident_octets() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sluice::bench
