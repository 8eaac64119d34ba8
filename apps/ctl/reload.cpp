// sluicectl reload: a running server reads its configuration file again, as on SIGHUP.

#include <fmt/format.h>

#include <ostream>
#include <string>

#include "apps/ctl/control_client.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"

namespace sluice::ctl {
namespace {

/// "tcp.nodelay, tcp.rto_min"
std::string listed(const nlohmann::ordered_json& reply, const char* name) {
  std::string text;
  const auto found = reply.find(name);
  if (found == reply.end() || !found->is_array()) return text;
  for (const auto& key : *found)
    if (key.is_string()) text += (text.empty() ? "" : ", ") + key.get<std::string>();
  return text;
}

}  // namespace

int run_reload(Arguments arguments, Streams streams) {
  auto options = make_options(
      "reload",
      "Has a server read its --config file again, as SIGHUP does. Keys of which the file says\n"
      "'reload: yes' come into force on all workers or on none; others that changed are named:\n"
      "they need a restart. A mistake in the file changes nothing. Flags still win over the file.",
      "");
  const auto parsed = parse(options, "reload", arguments, streams);
  if (!parsed) return 0;
  const Instance instance = open_for_change(chosen_instance(*parsed), streams);
  const auto reply = ask(instance, {{"command", "reload"}});
  if (parsed->count("json") != 0) {
    streams.out << json_text(reply);
    return 0;
  }
  const std::string changed = listed(reply, "changed"), rest = listed(reply, "needs_restart");
  streams.out << fmt::format("{}: {}\n", instance.name,
                             changed.empty() ? "nothing has changed" : "changed: " + changed);
  if (!rest.empty()) streams.out << fmt::format("{}: needs a restart: {}\n", instance.name, rest);
  return 0;
}

}  // namespace sluice::ctl
