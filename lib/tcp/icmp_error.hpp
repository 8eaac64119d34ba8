#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// ICMP's word, or our own lower layers', about a segment that we sent. False if it fits nothing
/// in flight and was ignored (RFC 5927 4).
bool icmp_error_arrives(Context& ctx, const IcmpError& error);

}  // namespace sluice::tcp
