#pragma once

#include <array>

#include "sluice/stream.hpp"
#include "tests/packetdrill/blocking_calls.hpp"

namespace sluice::packetdrill {

/// Linux's struct tcp_info of a stream: the fields that have a meaning here, the others zero. Fills
/// all `length` octets, for scripts may know a longer struct.
Answer fill_tcp_info(VirtualStack& stack, const Stream& stream, void* out, unsigned& length);

/// SO_MEMINFO's figures: what is queued each way.
std::array<std::uint32_t, 9> memory_info(const Stream& stream);

}  // namespace sluice::packetdrill
