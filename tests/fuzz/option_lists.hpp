#pragma once

// TCP option lists as octets: made from an input, and read by a reader that shares nothing with
// wire::parse_tcp.

#include <cstdint>

#include "tcp/segment.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/packet_builder.hpp"
#include "wire/tcp.hpp"

namespace sluice::fuzz {

void append_u32(support::Octets& out, std::uint32_t value);
void append_option(support::Octets& list, std::uint8_t kind, std::uint8_t length,
                   const support::Octets& value);

/// An option list of at most 40 octets, padded to words: well-formed options, options whose length
/// is off by a little, and any octets.
support::Octets make_list(Input& input);
/// The second reader. False if a malformed option ended the list.
bool read_plainly(const support::Octets& list, wire::TcpOptions& options);
bool are_same(const wire::TcpOptions& a, const wire::TcpOptions& b);

/// A segment to the engine's end of `flow` with this list of options; checksum zero.
support::Octets segment_of(const tcp::FlowKey& flow, const wire::TcpHeader& header,
                           const support::Octets& list, const support::Octets& payload);

}  // namespace sluice::fuzz
