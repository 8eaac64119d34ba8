// bench_registers: additions to eight registers, which wait neither for memory nor for each other.
// Two of them on two CPUs show what the machine has to give to two workers: half each, where both
// CPUs are threads of one core.

#include <fmt/format.h>

#include <chrono>
#include <cstdint>

int main() {
  constexpr std::uint64_t kRounds = 300'000'000;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t round = 0; round < kRounds; ++round)
    asm volatile(
        "add $1, %%r8\n add $1, %%r9\n add $1, %%r10\n add $1, %%r11\n"
        "add $1, %%r12\n add $1, %%r13\n add $1, %%r14\n add $1, %%r15\n"
        :
        :
        : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{:.0f}\n", 8.0 * static_cast<double>(kRounds) / took.count());
}
