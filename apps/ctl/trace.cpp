// sluicectl trace: what the flight recorder knows of one connection.

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <ostream>

#include "apps/ctl/options.hpp"
#include "apps/ctl/picture.hpp"
#include "apps/ctl/table.hpp"
#include "apps/ctl/trace_select.hpp"
#include "apps/ctl/trace_text.hpp"

namespace sluice::ctl {
namespace {

std::vector<FlowTrace> read_all(const std::vector<Instance>& instances) {
  std::vector<FlowTrace> all;
  for (const Instance& instance : instances)
    for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker)
      for (FlowTrace& trace :
           trace_flows(instance, worker, read_worker_recording(instance, worker)))
        all.push_back(std::move(trace));
  return all;
}

void write_picture(const std::string& path, const FlowTrace& trace, std::size_t max_segments) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << draw_picture(trace, {.max_segments = max_segments});
  file.close();
  if (!file) throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
}

}  // namespace

int run_trace(Arguments arguments, Streams streams) {
  auto options = make_options("trace",
                              "What the flight recorder knows of a connection: state changes and "
                              "drops always, every segment\n"
                              "where tracing is on. CONN is LOCAL-REMOTE "
                              "(10.0.0.2:7-10.0.0.1:40000), a remote endpoint, a\n"
                              "number of the Conn column of `conns`, or `last`. Sequence numbers "
                              "are relative to the ISNs;\n"
                              "times are seconds since the connection's first event.",
                              "CONN");
  options.add_options("hidden")("conn", "", cxxopts::value<std::string>());
  options.add_options()("svg", "draw it: every segment, both ends' states",
                        cxxopts::value<std::string>(), "FILE");
  options.add_options()("max-segments", "of the picture, from 1: more are left out of the middle",
                        cxxopts::value<std::size_t>()->default_value("60")->no_implicit_value(),
                        "N");
  options.add_options()("raw", "the events as recorded, as JSON");
  options.add_options()("absolute", "absolute sequence numbers");
  options.add_options()("all-lives", "earlier connections of the same 4-tuple too");
  options.parse_positional({"conn"});
  const auto parsed = parse(options, "trace", arguments, streams);
  if (!parsed) return 0;
  if (parsed->count("conn") == 0)
    throw UsageError("trace: which connection? (sluicectl trace --help)");

  const auto max_segments = (*parsed)["max-segments"].as<std::size_t>();
  if (max_segments == 0) throw UsageError("trace: --max-segments is 1 at least");

  auto lives = select_lives(read_all(open_instances(chosen_instance(*parsed), streams)),
                            (*parsed)["conn"].as<std::string>());
  if (parsed->count("all-lives") == 0) lives.erase(lives.begin(), lives.end() - 1);
  if (parsed->count("svg") != 0)
    write_picture((*parsed)["svg"].as<std::string>(), lives.back(), max_segments);
  if (parsed->count("raw") != 0 || parsed->count("json") != 0) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const FlowTrace& trace : lives) list.push_back(trace_json(trace));
    streams.out << json_text(list);
    return 0;
  }
  std::string text;
  for (const FlowTrace& trace : lives)
    text += (text.empty() ? "" : "\n") +
            trace_text(trace, {.has_absolute_numbers = parsed->count("absolute") != 0});
  streams.out << text;
  return 0;
}

}  // namespace sluice::ctl
