// bench_soak: takes the time that its core would be idle, and counts how far it comes with it. What
// interrupts do meanwhile does not count as idle so, though no other process runs. The count stands
// in FILE, a word of this machine's, for others to read while this runs, until it is killed.

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned kStepsOfUnit = 1000;  // About a microsecond.

void die(const char* what) {
  fmt::print(stderr, "bench_soak: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

std::uint64_t& map_word(const char* path) {
  const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof(std::uint64_t)) != 0) die(path);
  void* const at =
      mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) die("mmap");
  return *static_cast<std::uint64_t*>(at);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_soak FILE\n");
    return 2;
  }
  const std::atomic_ref<std::uint64_t> units(map_word(argv[1]));
  const sched_param none{};
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) die("SCHED_IDLE");
  for (std::uint64_t unit = 1;; ++unit) {
    for (unsigned step = 0; step < kStepsOfUnit; ++step) asm volatile("" : : "r"(step));
    units.store(unit, std::memory_order_relaxed);
  }
}
