#pragma once

// Invariants of our own code. Never assert on what a peer, a caller or an operator can cause.

namespace sluice {

/// Says on standard error what broke and where, then aborts. The flight recorder and the TCBs lie
/// in the mapped state region and outlive the process: `sluicectl` reads them afterwards.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace sluice

/// Cheap checks, on in every build.
#define SLUICE_ASSERT(expression)                     \
  (__builtin_expect(static_cast<bool>(expression), 1) \
       ? static_cast<void>(0)                         \
       : ::sluice::assertion_failed(#expression, __FILE__, __LINE__))

/// Whole-structure checks: debug builds, the simulator and the fuzzers (-DSLUICE_CHECKED=1).
#if defined(SLUICE_CHECKED) && SLUICE_CHECKED
#define SLUICE_CHECK(expression) SLUICE_ASSERT(expression)
#else
#define SLUICE_CHECK(expression) static_cast<void>(0)
#endif
