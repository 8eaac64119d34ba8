#pragma once

// The figures that `%{ assert ... }%` may name: Linux's tcp_info by its names, and a few of ours.

#include <cstdint>
#include <optional>
#include <string_view>

#include "tcp/context.hpp"

namespace sluice::script {

/// A constant that assertions may name: TCP_CA_Recovery, TCP_ESTABLISHED, ...
std::optional<std::int64_t> constant(std::string_view name);

/// `name` of the connection `index`; nothing if the engine has no such figure.
std::optional<std::int64_t> figure(tcp::Context& ctx, std::uint32_t index, std::string_view name);

}  // namespace sluice::script
