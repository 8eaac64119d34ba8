#include "runtime/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ip/address_table.hpp"
#include "ip/route_table.hpp"
#include "runtime/config_values.hpp"
#include "runtime/join.hpp"
#include "runtime/source_filter.hpp"
#include "stack/network_change.hpp"

namespace sluice::runtime {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

struct Unit {
  std::string_view name;
  std::int64_t ns;
};
// From the largest: to_string takes the first that divides.
constexpr Unit kUnits[] = {{"h", 3'600'000'000'000},
                           {"m", 60'000'000'000},
                           {"s", 1'000'000'000},
                           {"ms", 1'000'000},
                           {"us", 1'000}};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

/// `text` as comment lines of at most 100 columns.
std::string comment(std::string_view text) {
  constexpr std::size_t kColumns = 98;
  std::string out;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (end > kColumns) end = text.rfind(' ', kColumns);
    out += fmt::format("# {}\n", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string_view reload_text(Reload reload) {
  switch (reload) {
    case Reload::kRestart:
      return "reload: no";
    case Reload::kReload:
      return "reload: yes";
    case Reload::kStream:
      return "reload: yes; a stream can set its own";
  }
  return {};
}

std::string expected(const Key& key) {
  return fmt::format("expected {}", range_of(key));
}

/// An address that several of `items` have.
template <class Item>
std::optional<IpAddr> address_given_twice(const std::vector<Item>& items) {
  std::vector<IpAddr> addresses;
  addresses.reserve(items.size());
  for (const Item& item : items) addresses.push_back(item.address);
  std::sort(addresses.begin(), addresses.end());
  const auto twice = std::adjacent_find(addresses.begin(), addresses.end());
  return twice == addresses.end() ? std::nullopt : std::optional(*twice);
}

/// What contradicts in neighbours that are pinned at the start.
std::optional<std::string> contradiction_of_neighbors(const Config& config,
                                                      const ip::AddressTable& addresses) {
  for (const stack::StaticNeighbor& neighbor : config.neighbors)
    if (!stack::is_other_host(neighbor.address, addresses, 0))
      return fmt::format("interface.neighbors: {} is no other host's address",
                         sluice::to_string(neighbor.address));
  if (const auto twice = address_given_twice(config.neighbors))
    return fmt::format("interface.neighbors: {} is given twice", sluice::to_string(*twice));
  if (config.neighbors.size() > config.stack.max_neighbors)
    return fmt::format(
        "neighbor.max_entries: {} are too few for {} of interface.neighbors; give more",
        config.stack.max_neighbors, config.neighbors.size());
  return std::nullopt;
}

std::string reason_of(stack::ChangeError error) {
  return error == stack::ChangeError::kBadGateway
             ? "the gateway is no other host in a subnet of interface.addresses"
             : "that prefix has a route already, or is a subnet of interface.addresses; leave one "
               "out";
}

/// What contradicts in [interface] and the sizes of its tables: they are filled as a worker's will
/// be, by the rules of `sluicectl route add`.
std::optional<std::string> contradiction_of_network(const Config& config) {
  const stack::InterfaceConfig interface = stack_config(config).interfaces[0];
  std::vector<ip::AddressRecord> address_records(interface.addresses.size());
  std::vector<ip::RouteRecord> route_records(std::min<std::size_t>(
      interface.addresses.size() + interface.routes.size(), ip::RouteTable::kMaxRecords));
  ip::AddressTable addresses(address_records);
  ip::RouteTable routes(route_records);
  std::size_t needed = 0;
  for (const Prefix& prefix : interface.addresses) {
    static_cast<void>(addresses.add(0, prefix));
    if (!stack::is_host(prefix) &&
        routes.add(stack::connected_route(0, prefix)) != ip::RouteTable::AddResult::kDuplicate)
      ++needed;
  }
  for (const stack::RouteConfig& route : interface.routes) {
    const auto added = stack::add_route(
        {.destination = route.destination, .gateway = route.gateway}, addresses, routes);
    if (added || added.error() == stack::ChangeError::kFull) {
      ++needed;
      continue;
    }
    const bool is_default = config.gateway && &route == &interface.routes.back();
    return fmt::format("{}: {}: {}", is_default ? "interface.gateway" : "interface.routes",
                       is_default ? sluice::to_string(route.gateway) : print_route(route),
                       reason_of(added.error()));
  }
  if (needed > config.stack.max_routes)
    return fmt::format(
        "interface.max_routes: {} are too few for {}: subnets of interface.addresses, "
        "interface.routes and interface.gateway; give more",
        config.stack.max_routes, needed);
  return contradiction_of_neighbors(config, addresses);
}

std::optional<Port> port_given_twice(const Config& config) {
  std::vector<Port> ports = config.listen;
  std::sort(ports.begin(), ports.end());
  const auto twice = std::adjacent_find(ports.begin(), ports.end());
  return twice == ports.end() ? std::nullopt : std::optional(*twice);
}

/// What contradicts in [gate] deny and allow.
std::optional<std::string> contradiction_of_sources(const Config& config) {
  if (config.denied_sources.size() + config.allowed_sources.size() > SourceFilter::kMaxRules)
    return fmt::format("gate.deny: with gate.allow at most {} prefixes", SourceFilter::kMaxRules);
  std::vector<Prefix> denied = config.denied_sources;
  std::sort(denied.begin(), denied.end());
  for (const Prefix& prefix : config.allowed_sources)
    if (std::binary_search(denied.begin(), denied.end(), prefix))
      return fmt::format("gate.allow: {} stands in gate.deny, too", sluice::to_string(prefix));
  return std::nullopt;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || count < 0) return std::nullopt;
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Unit& unit : kUnits) {
    std::int64_t ns = 0;
    if (unit.name == name && !__builtin_mul_overflow(count, unit.ns, &ns))
      return Duration::from_ns(ns);
  }
  return std::nullopt;
}

std::string to_string(Duration duration) {
  if (duration == Duration::zero()) return "0s";
  for (const Unit& unit : kUnits) {
    // "60s" and "63s" read better side by side than "1m" and "63s".
    const bool is_preferred = unit.ns <= 1'000'000'000 || duration.ns() >= 2 * unit.ns;
    if (duration.ns() % unit.ns == 0 && is_preferred)
      return fmt::format("{}{}", duration.ns() / unit.ns, unit.name);
  }
  return fmt::format("{}us", duration.us());
}

std::string range_of(const Key& key) {
  return std::visit(Overloaded{[](const FlagField&) { return std::string("true or false"); },
                               [](const CountField& field) {
                                 return fmt::format("{} to {}", field.least, field.most);
                               },
                               [](const DurationField& field) {
                                 return fmt::format("{} to {} (us, ms, s, m, h)",
                                                    to_string(field.least), to_string(field.most));
                               },
                               [](const TextField& field) { return std::string(field.expects); },
                               [](const ListField& field) { return std::string(field.expects); }},
                    key.field);
}

std::optional<std::string> set(const Key& key, Config& config, const Value& value) {
  const bool is_set = std::visit(
      Overloaded{[&](const FlagField& field) {
                   const auto* flag = std::get_if<bool>(&value);
                   if (flag != nullptr) field.at(config) = *flag;
                   return flag != nullptr;
                 },
                 [&](const CountField& field) {
                   const auto* number = std::get_if<std::int64_t>(&value);
                   if (number == nullptr || *number < 0) return false;
                   const auto count = static_cast<std::uint64_t>(*number);
                   if (count < field.least || count > field.most) return false;
                   field.set(config, count);
                   return true;
                 },
                 [&](const DurationField& field) {
                   const auto* text = std::get_if<std::string>(&value);
                   const auto duration = text != nullptr ? parse_duration(*text) : std::nullopt;
                   if (!duration || *duration < field.least || *duration > field.most) return false;
                   field.at(config) = *duration;
                   return true;
                 },
                 [&](const TextField& field) {
                   const auto* text = std::get_if<std::string>(&value);
                   return text != nullptr && field.set(config, *text);
                 },
                 [&](const ListField& field) {
                   const auto* items = std::get_if<std::vector<std::string>>(&value);
                   if (items == nullptr) return false;
                   field.clear(config);
                   return std::all_of(items->begin(), items->end(), [&](const std::string& item) {
                     return field.add(config, item);
                   });
                 }},
      key.field);
  if (is_set) return std::nullopt;
  return expected(key);
}

std::optional<std::string> set_from_text(const Key& key, Config& config, const std::string& text) {
  if (std::holds_alternative<FlagField>(key.field)) {
    if (text != "true" && text != "false") return expected(key);
    return set(key, config, text == "true");
  }
  if (std::holds_alternative<CountField>(key.field)) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return expected(key);
    return set(key, config, number);
  }
  if (const auto* list = std::get_if<ListField>(&key.field)) {
    if (list->add(config, text)) return std::nullopt;
    return expected(key);
  }
  return set(key, config, text);
}

std::string render(const Key& key, const Config& config) {
  Config copy = config;  // the accessors of FlagField and DurationField want a mutable one
  return std::visit(
      Overloaded{
          [&](const FlagField& field) { return std::string(field.at(copy) ? "true" : "false"); },
          [&](const CountField& field) { return std::to_string(field.get(config)); },
          [&](const DurationField& field) { return quoted(to_string(field.at(copy))); },
          [&](const TextField& field) { return quoted(field.get(config)); },
          [&](const ListField& field) {
            std::vector<std::string> items = field.get(config);
            if (!field.is_numeric)
              for (std::string& item : items) item = quoted(item);
            return fmt::format("[{}]", join(items, ", "));
          }},
      key.field);
}

std::optional<std::string> contradiction(const Config& config) {
  const tcp::EngineConfig& tcp = config.stack.tcp;
  if (tcp.ephemeral_first > tcp.ephemeral_last)
    return "tcp.ephemeral_first: lies above tcp.ephemeral_last";
  if (tcp.rto_min > tcp.rto_initial || tcp.rto_initial > tcp.rto_max)
    return "tcp.rto_initial: must lie between tcp.rto_min and tcp.rto_max";
  if (config.devices.empty()) return "device.devices: at least one is needed";
  if (config.addresses.empty()) return "interface.addresses: at least one is needed";
  if (const auto twice = address_given_twice(config.addresses))
    return fmt::format("interface.addresses: {} is given twice", sluice::to_string(*twice));
  if (!config.cpus.empty() && config.cpus.size() != config.workers)
    return fmt::format("runtime.cpus: {} given for {} of runtime.workers; give one each, or none",
                       config.cpus.size(), config.workers);
  if (const auto twice = port_given_twice(config))
    return fmt::format("runtime.listen: {} is given twice", twice->value);
  if (config.replay_seed != 0 && config.workers != 1)
    return "runtime.replay_seed: a replay has one worker, see runtime.workers";
  if (config.stack.receive_low_watermark_pkts >= config.receive_pkts)
    return "pools.receive_low_watermark_pkts: must lie below pools.receive_pkts";
  if (const auto problem = contradiction_of_network(config)) return problem;
  return contradiction_of_sources(config);
}

std::string annotated_defaults() {
  const Config defaults;
  std::string out =
      "# Every key of Sluice with its default. Written by any Sluice program's --help-config; a "
      "test\n"
      "# holds it equal to the parser's table. Times are texts of an integer and us, ms, s, m or "
      "h.\n"
      "# Totals are divided among the workers. Flags override the file; --set SECTION.KEY=VALUE "
      "overrides\n"
      "# any key. reload: yes means that a change comes into force on SIGHUP or `sluicectl "
      "reload`, "
      "for new\n"
      "# connections or whenever the value is next asked for; of other keys at the next start.\n";
  std::string_view section;
  for (const Key& key : keys()) {
    const std::size_t dot = key.name.find('.');
    if (key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      out += fmt::format("\n[{}]\n", section);
    }
    const std::string unit = key.unit.empty() ? "" : fmt::format("{}; ", key.unit);
    out += comment(key.doc);
    out += comment(fmt::format("{}{} ({})", unit, range_of(key), reload_text(key.reload)));
    out += fmt::format("{} = {}\n\n", key.name.substr(dot + 1), render(key, defaults));
  }
  out.pop_back();
  return out;
}

std::uint32_t divide(std::uint32_t total, std::uint32_t workers) {
  return static_cast<std::uint32_t>((std::uint64_t{total} + workers - 1) / workers);
}

std::vector<ip::PrefixRule> source_rules(const Config& config) {
  std::vector<ip::PrefixRule> rules;
  rules.reserve(config.denied_sources.size() + config.allowed_sources.size());
  for (const Prefix& prefix : config.denied_sources)
    rules.push_back({prefix, ip::SourceAction::kDeny});
  for (const Prefix& prefix : config.allowed_sources)
    rules.push_back({prefix, ip::SourceAction::kAllow});
  return rules;
}

stack::StackConfig stack_config(const Config& config) {
  stack::StackConfig stack = config.stack;
  stack::InterfaceConfig interface {
    .name = "if0", .addresses = config.addresses, .routes = config.routes,
    .neighbors = config.neighbors
  };
  if (config.gateway) interface.routes.push_back({Prefix{Ipv4Addr{}, 0}, *config.gateway, {}});
  stack.interfaces = {std::move(interface)};
  stack.workers = config.workers;
  stack.announces = config.announce;
  for (std::uint32_t* total :
       {&stack.tcp.max_connections, &stack.tcp.max_half_open, &stack.tcp.max_accept_queue,
        &stack.tcp.max_time_wait, &stack.tcp.max_in_flight, &stack.tcp.max_orphans,
        &stack.tcp.receive_growth_bytes})
    *total = divide(*total, config.workers);
  for (TokenBucket::Limits* limits :
       {&stack.tcp.reset_limit, &stack.tcp.challenge_limit, &stack.tcp.syn_ack_prefix_limit,
        &stack.icmp_error_limit, &stack.echo_limit}) {
    limits->rate_per_s = divide(limits->rate_per_s, config.workers);
    limits->burst = divide(limits->burst, config.workers);
  }
  return stack;
}

}  // namespace sluice::runtime
