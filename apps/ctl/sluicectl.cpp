#include <fmt/format.h>

#include <array>
#include <ostream>

#include "apps/ctl/command.hpp"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "unknown"
#endif

namespace sluice::ctl {
namespace {

constexpr std::array<Command, 10> kCommands = {{
    {"conns", "listeners, half-open entries, connections, TIME-WAIT entries", run_conns},
    {"trace", "the flight recorder's story of one connection: text, picture, JSON", run_trace},
    {"stats", "every counter: outcomes of received packets, events, timers, transitions",
     run_stats},
    {"gate", "who knocks at the listeners: calm, pressed or attack, and why; who is let in",
     run_gate},
    {"neigh", "the neighbour table; add, del", run_neigh},
    {"route", "addresses and routes; add, del", run_route, "routes"},
    {"addr", "addresses; add, del", run_addr},
    {"reload", "has a server read its configuration file again", run_reload},
    {"ports", "devices, their queues, and how frames find their worker", run_ports},
    {"instances", "whose state can be read", run_instances},
}};

std::string help() {
  std::string text =
      "Shows what Sluice's processes are doing, or did until they died.\n"
      "Usage: sluicectl COMMAND [options]\n\nCommands:\n";
  for (const Command& command : kCommands)
    text += fmt::format("  {:<11} {}\n", command.name, command.summary);
  text +=
      "\n  COMMAND --help says its options.  --help: this text.  --version: the version.\n\n"
      "It reads the state region that each process maps (/dev/shm/sluice.INSTANCE or the same name "
      "on\n"
      "a hugetlbfs mount, mode 0640), of all instances unless --instance NAME picks one. The "
      "process\n"
      "does nothing for it, and may be dead: then the region says what it was doing when it "
      "died.\n"
      "What changes a server (gate deny|allow|forget; neigh, route, addr add|del; reload) goes "
      "through its\n"
      "control socket (/dev/shm/sluice-control.INSTANCE, mode 0600).\n\n"
      "Exit code: 0; 1: no such instance or connection, no right to read; 2: wrong usage.\n";
  return text;
}

int dispatch(Arguments arguments, Streams streams) {
  if (arguments.empty()) throw UsageError("which command? (sluicectl --help)");
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    streams.out << help();
    return 0;
  }
  if (name == "--version") {
    streams.out << "sluicectl " << SLUICE_VERSION << "\n";
    return 0;
  }
  for (const Command& command : kCommands)
    if (command.name == name || command.also == name)
      return command.run(arguments.subspan(1), streams);
  if (name.starts_with('-'))
    throw UsageError(fmt::format(
        "the command comes first, then '{}' and other options (sluicectl --help)", name));
  throw UsageError(fmt::format("no command '{}' (sluicectl --help)", name));
}

}  // namespace

int run_sluicectl(Arguments arguments, Streams streams) {
  try {
    return dispatch(arguments, streams);
  } catch (const UsageError& error) {
    streams.err << "sluicectl: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    streams.err << "sluicectl: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace sluice::ctl
