#include "runtime/config_values.hpp"

#include <fmt/format.h>
#include <sodium/utils.h>

#include <algorithm>

#include "drivers/dpdk/eal.hpp"
#include "ip/address_table.hpp"
#include "tcp/congestion/controller.hpp"

namespace sluice::runtime {
namespace {

constexpr std::string_view kRouteCongestion = " congestion ";

std::optional<HashKey> parse_key(const std::string& text) {
  HashKey key;
  std::size_t length = 0;
  const bool is_read = sodium_hex2bin(key.octets.data(), key.octets.size(), text.data(),
                                      text.size(), nullptr, &length, nullptr) == 0;
  return is_read && length == key.octets.size() ? std::optional(key) : std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t least,
                                          std::uint32_t most) {
  std::uint32_t value = 0;
  if (text.empty() || text.size() > 9) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (value < least || value > most) return std::nullopt;
  return value;
}

std::optional<Port> parse_port(std::string_view text) {
  const auto value = parse_number(text, 1, 65535);
  if (!value) return std::nullopt;
  return Port{static_cast<std::uint16_t>(*value)};
}

std::optional<Prefix> parse_interface_prefix(std::string_view text) {
  const auto prefix = parse_prefix(text);
  const bool is_ours_to_have =
      prefix && prefix->address.is_v4() && prefix->length != 0 && ip::may_be_host(*prefix);
  return is_ours_to_have ? prefix : std::nullopt;
}

std::optional<std::vector<Prefix>> parse_interface_prefixes(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto last =
      parse_interface_prefix(text.substr(dash == std::string_view::npos ? 0 : dash + 1));
  if (!last) return std::nullopt;
  if (dash == std::string_view::npos) return std::vector<Prefix>{*last};
  const auto first = parse_ip(text.substr(0, dash));
  if (!first || !first->is_v4() || !last->contains(*first)) return std::nullopt;
  const std::uint32_t from = first->v4().value, to = last->address.v4().value;
  if (from > to || to - from >= kMostInRange) return std::nullopt;
  std::vector<Prefix> prefixes;
  for (std::uint32_t address = from; address <= to; ++address) {
    const Prefix prefix{Ipv4Addr{address}, last->length};
    if (!ip::may_be_host(prefix)) return std::nullopt;
    prefixes.push_back(prefix);
  }
  return prefixes;
}

std::optional<stack::RouteConfig> parse_route(std::string_view text) {
  constexpr std::string_view kVia = " via ";
  std::optional<tcp::Algorithm> congestion;
  if (const std::size_t at = text.find(kRouteCongestion); at != std::string_view::npos) {
    congestion = tcp::algorithm_of(text.substr(at + kRouteCongestion.size()));
    if (!congestion) return std::nullopt;
    text = text.substr(0, at);
  }
  const std::size_t via = text.find(kVia);
  const auto destination = parse_prefix(text.substr(0, via));
  if (!destination) return std::nullopt;
  if (via == std::string_view::npos)
    return stack::RouteConfig{*destination, Ipv4Addr{}, congestion};
  const auto gateway = parse_ip(text.substr(via + kVia.size()));
  if (!gateway || gateway->is_v4() != destination->address.is_v4()) return std::nullopt;
  return stack::RouteConfig{*destination, *gateway, congestion};
}

std::string print_route(const stack::RouteConfig& route) {
  std::string text = sluice::to_string(route.destination);
  if (!route.gateway.is_unspecified()) text += " via " + sluice::to_string(route.gateway);
  if (route.congestion)
    text += fmt::format("{}{}", kRouteCongestion, tcp::controller(*route.congestion).name());
  return text;
}

std::optional<stack::StaticNeighbor> parse_neighbor(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const auto address = parse_ip(text.substr(0, equals));
  const auto mac = parse_mac(text.substr(equals + 1));
  if (!address || !mac || mac->is_multicast() || mac->is_zero()) return std::nullopt;
  return stack::StaticNeighbor{*address, *mac};
}

bool is_any_text(std::string_view) {
  return true;
}
bool is_eal_text(std::string_view text) {
  // EAL itself would print what it knows and end the program, with success.
  const std::vector<std::string> words = drivers::split_words(text);
  return std::none_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "-h" || (word.size() > 3 && std::string_view("--help").starts_with(word));
  });
}

std::optional<std::string> parse_device(std::string_view text) {
  if (text.empty() || text.find_first_of(" \t\n") != std::string_view::npos) return std::nullopt;
  return std::string(text);
}
std::optional<MacAddr> parse_unicast_mac(const std::string& text) {
  const auto mac = parse_mac(text);
  return mac && !mac->is_multicast() && !mac->is_zero() ? mac : std::nullopt;
}
std::optional<IpAddr> parse_gateway(const std::string& text) {
  const auto address = parse_ip(text);
  return address && address->is_v4() && !address->is_unspecified() ? address : std::nullopt;
}

Field fleet_key_field() {
  return TextField{[](const Config& config) {
                     constexpr std::size_t kDigits = 2 * sizeof(HashKey::octets);
                     char text[kDigits + 1] = "";
                     if (config.fleet_key)
                       sodium_bin2hex(text, sizeof text, config.fleet_key->octets.data(),
                                      config.fleet_key->octets.size());
                     return std::string(text);
                   },
                   [](Config& config, const std::string& text) {
                     config.fleet_key = parse_key(text);
                     return text.empty() || config.fleet_key.has_value();
                   },
                   "32 hexadecimal digits, as `openssl rand -hex 16` gives"};
}

}  // namespace sluice::runtime
