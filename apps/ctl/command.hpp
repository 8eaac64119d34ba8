#pragma once

// What every subcommand is made of: arguments in, two streams out, an exit code.

#include <iosfwd>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sluice::ctl {

/// Where a command writes: results and complaints.
struct Streams {
  std::ostream& out;
  std::ostream& err;
};

/// A command line that cannot be meant: one line on `err`, exit code 2. Everything else that stops
/// a command is a std::runtime_error: one line, exit code 1.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Arguments = std::span<const std::string>;

/// A subcommand: `sluicectl NAME ...`.
struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(Arguments arguments, Streams streams);
  std::string_view also = {};  ///< Another name.
};

int run_addr(Arguments arguments, Streams streams);
int run_conns(Arguments arguments, Streams streams);
int run_gate(Arguments arguments, Streams streams);
int run_neigh(Arguments arguments, Streams streams);
int run_ports(Arguments arguments, Streams streams);
int run_reload(Arguments arguments, Streams streams);
int run_route(Arguments arguments, Streams streams);
int run_stats(Arguments arguments, Streams streams);
int run_trace(Arguments arguments, Streams streams);
int run_instances(Arguments arguments, Streams streams);

/// The whole program without its process: what main() and the tests call.
int run_sluicectl(Arguments arguments, Streams streams);

}  // namespace sluice::ctl
