// sluice-httpd: an HTTP/1.1 server: files, /bytes/N, /sink, /status.

#include <fmt/format.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

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

/// "4096", "10k", "1M", "2G", "1T": steps of 1000, as sluice-load takes them.
std::uint64_t amount_option(const sluice::Runtime& runtime, const std::string& name,
                            std::uint64_t most) {
  const std::string& text = runtime.option(name);
  constexpr std::string_view kSuffixes = "kMGT";
  std::uint64_t value = 0, unit = 1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const std::size_t step = suffix == "K" ? 0 : kSuffixes.find(suffix);
  for (std::size_t i = 0; !suffix.empty() && step < kSuffixes.size() && i <= step; ++i)
    unit *= 1000;
  if (error != std::errc{} || suffix.size() > 1 || step == std::string_view::npos ||
      value > most / unit)
    throw sluice::SetupError(
        fmt::format("--{} {}: expected a number such as 4096, 10k or 1T, at most {}", name, text,
                    most),
        2);
  return value * unit;
}

httpd::Options read_options(const sluice::Runtime& runtime) {
  httpd::Options options;
  options.site.status_path = runtime.option("status");
  if (!options.site.status_path.empty() && options.site.status_path.front() != '/')
    throw sluice::SetupError(
        fmt::format("--status {}: not a path (/status)", options.site.status_path), 2);
  options.site.max_body = amount_option(runtime, "max-body", std::uint64_t{1} << 50);
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
          {"max-body", "Octets of a body that /sink takes (10k, 1M, ...); above: 413",
           "1099511627776"}}};
  return sluice::run_program(argc, argv, info, [](sluice::Runtime& runtime) {
    httpd::Options options = read_options(runtime);
    std::unique_ptr<const httpd::Content> content;
    try {
      content = std::make_unique<const httpd::Content>(runtime.option("root"));
    } catch (const std::exception& error) {
      throw sluice::SetupError(error.what(), 1);
    }
    fmt::print(stderr, "sluice-httpd: {} paths in memory\n", content->files());
    options.site.content = content.get();
    httpd::Server server(std::move(options));
    for (const sluice::Port port : runtime.listen_ports()) {
      std::size_t worker = 0;
      runtime.listen_each({.port = port}, [&] { return server.factory(worker++); });
    }
    return runtime.run();
  });
}
