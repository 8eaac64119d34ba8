#include "apps/ctl/trace_select.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>

namespace sluice::ctl {
namespace {

struct Selector {
  std::optional<Endpoint> local;
  std::optional<Endpoint> remote;
  std::optional<std::uint32_t> index;

  bool admits(const FlowTrace& trace) const {
    if (index) return trace.connection == index;
    return (!local || trace.local == *local) && (!remote || trace.remote == *remote);
  }
};

Selector selector_from(std::string_view conn) {
  Selector selector;
  if (conn == "last") return selector;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(conn.data(), conn.data() + conn.size(), number);
  if (error == std::errc() && end == conn.data() + conn.size()) {
    selector.index = number;
    return selector;
  }
  if (const auto dash = conn.find('-'); dash != std::string_view::npos) {
    selector.local = parse_endpoint(conn.substr(0, dash));
    selector.remote = parse_endpoint(conn.substr(dash + 1));
    if (selector.local && selector.remote) return selector;
  } else if (selector.remote = parse_endpoint(conn); selector.remote) {
    return selector;
  }
  throw UsageError(
      fmt::format("trace: '{}' is none of LOCAL-REMOTE (10.0.0.2:7-10.0.0.1:40000), a remote "
                  "endpoint, a number "
                  "of `conns`' Conn column, `last`",
                  conn));
}

/// All lives of one flow lie in one worker of one instance.
std::string flow_name(const FlowTrace& trace) {
  return fmt::format("{}-{} (instance {}, worker {})", to_string(trace.local),
                     to_string(trace.remote), trace.instance, trace.worker);
}

}  // namespace

std::vector<FlowTrace> select_lives(std::vector<FlowTrace> all, std::string_view conn) {
  const Selector selector = selector_from(conn);
  std::erase_if(all, [&](const FlowTrace& trace) { return !selector.admits(trace); });
  if (all.empty())
    throw std::runtime_error(fmt::format(
        "the flight recorder holds no connection '{}': none such, or overwritten since", conn));
  // An index and `last` mean one connection: the youngest.
  const auto youngest = std::max_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.began_wall_ns, a.first_sequence) <
           std::tuple(b.began_wall_ns, b.first_sequence);
  });
  if (conn == "last") {
    std::vector<FlowTrace> one;
    one.push_back(std::move(*youngest));
    return one;
  }
  std::set<std::string> names;
  for (const FlowTrace& trace : all)
    if (!selector.index || trace.instance != youngest->instance || trace.worker != youngest->worker)
      names.insert(flow_name(trace));
  if (selector.index) names.insert(flow_name(*youngest));
  if (names.size() > 1) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : "; ") + name;
    throw std::runtime_error(fmt::format("'{}' names several connections: {}", conn, list));
  }
  if (selector.index) {
    std::vector<FlowTrace> one;
    one.push_back(std::move(*youngest));
    return one;
  }
  return all;
}

}  // namespace sluice::ctl
