#pragma once

// The one result type of the tree: a value, or the error of the caller or of a limit.
// The network's faults are verdict enums (telemetry/outcome.def), the operator's are exceptions
// thrown during set-up, ours are assertions (assert.hpp).

#include <tl/expected.hpp>

namespace sluice {

/// Either a T or an E. Never throws on the data path: test it, then dereference it.
template <class T, class E>
using Result = tl::expected<T, E>;

template <class E>
using Unexpected = tl::unexpected<E>;

/// Makes the error arm of a Result: `return fail(Error::kStaleHandle);`
template <class E>
constexpr Unexpected<E> fail(E error) {
  return Unexpected<E>(error);
}

}  // namespace sluice
