#include "runtime/gate_commands.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::runtime {
namespace {

std::vector<Prefix> prefixes_of(const Json& request) {
  const auto texts = request.find("prefixes");
  if (texts == request.end() || !texts->is_array() || texts->empty())
    throw CommandError("\"prefixes\" is a list of one or more texts");
  std::vector<Prefix> prefixes;
  prefixes.reserve(texts->size());
  for (const Json& text : *texts) {
    const auto prefix = text.is_string()
                            ? ip::parse_source_prefix(text.get_ref<const std::string&>())
                            : std::nullopt;
    if (!prefix)
      throw CommandError(
          fmt::format("{} is no prefix: expected 203.0.113.0/24, 2001:db8::/32 or an address, no "
                      "bits set beyond the length",
                      text.dump(-1, ' ', false, Json::error_handler_t::replace)));
    prefixes.push_back(*prefix);
  }
  return prefixes;
}

/// "203.0.113.0/24 and 3 more".
std::string listed(const std::vector<Prefix>& prefixes) {
  const std::string first = sluice::to_string(prefixes.front());
  return prefixes.size() == 1 ? first : fmt::format("{} and {} more", first, prefixes.size() - 1);
}

std::string_view name_of(ip::SourceAction action) {
  return action == ip::SourceAction::kDeny ? "deny" : "allow";
}

Json reply_of(const GateCommandDeps& deps, std::size_t changed) {
  return {{"changed", changed},
          {"rules", deps.filter.rules().size()},
          {"workers", deps.filter.workers()},
          {"workers_behind", deps.settle()}};
}

Json set(const GateCommandDeps& deps, const Json& request, ip::SourceAction action) {
  const std::vector<Prefix> prefixes = prefixes_of(request);
  if (!deps.filter.set(prefixes, action))
    throw CommandError(fmt::format(
        "the list would have more than {} prefixes, nothing was changed: forget some, or deny a "
        "shorter prefix that holds many",
        SourceFilter::kMaxRules));
  deps.log(fmt::format("gate: {} {}: the list has {} now", name_of(action), listed(prefixes),
                       deps.filter.rules().size()));
  return reply_of(deps, prefixes.size());
}

Json forget(const GateCommandDeps& deps, const Json& request) {
  const std::vector<Prefix> prefixes = prefixes_of(request);
  const std::size_t count = deps.filter.forget(prefixes);
  if (count > 0)
    deps.log(fmt::format("gate: forget {}: the list has {} now", listed(prefixes),
                         deps.filter.rules().size()));
  return reply_of(deps, count);
}

Json list(const GateCommandDeps& deps) {
  Json denied = Json::array(), allowed = Json::array();
  for (const auto& [prefix, action] : deps.filter.rules())
    (action == ip::SourceAction::kDeny ? denied : allowed).push_back(sluice::to_string(prefix));
  Json reply = reply_of(deps, 0);
  reply["maximum"] = SourceFilter::kMaxRules;
  reply["other_sources"] = name_of(deps.filter.otherwise());
  reply["deny"] = std::move(denied);
  reply["allow"] = std::move(allowed);
  return reply;
}

}  // namespace

std::vector<ControlCommand> gate_commands(const GateCommandDeps& deps) {
  return {{"gate.deny",
           [deps](const Json& request) { return set(deps, request, ip::SourceAction::kDeny); }},
          {"gate.allow",
           [deps](const Json& request) { return set(deps, request, ip::SourceAction::kAllow); }},
          {"gate.forget", [deps](const Json& request) { return forget(deps, request); }},
          {"gate.prefixes", [deps](const Json&) { return list(deps); }}};
}

}  // namespace sluice::runtime
