#pragma once

// Texts of single values: parsers give nullopt for what they do not take.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/config.hpp"

namespace sluice::runtime {

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t least,
                                          std::uint32_t most);
std::optional<Port> parse_port(std::string_view text);
/// An address of ours with its network's length: "10.0.0.2/24".
std::optional<Prefix> parse_interface_prefix(std::string_view text);
/// The same, or a range of up to kMostInRange addresses of one prefix: "10.0.0.2-10.0.0.65/24".
inline constexpr std::uint32_t kMostInRange = 4096;
std::optional<std::vector<Prefix>> parse_interface_prefixes(std::string_view text);
std::optional<stack::RouteConfig> parse_route(std::string_view text);
std::string print_route(const stack::RouteConfig& route);
std::optional<stack::StaticNeighbor> parse_neighbor(std::string_view text);
bool is_any_text(std::string_view);
/// [dpdk] eal_args: does not ask EAL for its help.
bool is_eal_text(std::string_view text);
std::optional<std::string> parse_device(std::string_view text);
std::optional<MacAddr> parse_unicast_mac(const std::string& text);
std::optional<IpAddr> parse_gateway(const std::string& text);
/// [gate] fleet_key: 32 hexadecimal digits.
Field fleet_key_field();

}  // namespace sluice::runtime
