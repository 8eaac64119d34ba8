// sluice-httpd: an HTTP/1.1 server: files, /bytes/N, /sink, /status.

#include <fmt/format.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <memory>

#include "server.hpp"

namespace {

std::int64_t read_clock(clockid_t clock) {
  timespec at{};
  clock_gettime(clock, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

std::uint64_t number_option(const sluice::Runtime& runtime, const std::string& name,
                            std::uint64_t most) {
  const std::string& text = runtime.option(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > most)
    throw sluice::SetupError(fmt::format("--{} {}: not a number from 0 to {}", name, text, most),
                             2);
  return value;
}

httpd::Options read_options(const sluice::Runtime& runtime, const httpd::Content& content) {
  httpd::Options options;
  options.site.content = &content;
  options.site.status_path = runtime.option("status");
  if (!options.site.status_path.empty() && options.site.status_path.front() != '/')
    throw sluice::SetupError(
        fmt::format("--status {}: not a path (/status)", options.site.status_path), 2);
  options.site.max_body = number_option(runtime, "max-body", std::uint64_t{1} << 50);
  if (const auto seconds = number_option(runtime, "patience", 1'000'000); seconds > 0)
    options.patience = sluice::Duration::from_s(static_cast<std::int64_t>(seconds));
  options.clocks.monotonic = [] { return sluice::Instant::from_ns(read_clock(CLOCK_MONOTONIC)); };
  options.clocks.wall_ns = [] { return read_clock(CLOCK_REALTIME); };
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const sluice::ProgramInfo info{
      .name = "sluice-httpd",
      .summary = "HTTP/1.1 server: files, GET /bytes/N, PUT or POST /sink, GET /status",
      .default_ports = {sluice::Port{80}},
      .options = {
          {"root", "Directory to serve, read into memory at the start (at most 1 GiB)", ""},
          {"status", "Path of the page of figures (?json: as JSON); empty: none", "/status"},
          {"patience", "Seconds that a client may be idle, or take for a head; 0: no limit", "60"},
          {"max-body", "Octets of a body that /sink takes; above: 413", "1099511627776"}}};
  return sluice::run_program(argc, argv, info, [](sluice::Runtime& runtime) {
    std::unique_ptr<const httpd::Content> content;
    try {
      content = std::make_unique<const httpd::Content>(runtime.option("root"));
    } catch (const std::exception& error) {
      throw sluice::SetupError(error.what(), 1);
    }
    fmt::print(stderr, "sluice-httpd: {} paths in memory\n", content->files());
    httpd::Server server(read_options(runtime, *content));
    for (const sluice::Port port : runtime.listen_ports()) {
      std::size_t worker = 0;
      runtime.listen_each({.port = port}, [&] { return server.factory(worker++); });
    }
    return runtime.run();
  });
}
