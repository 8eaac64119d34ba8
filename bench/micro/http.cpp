// What a request's head costs sluice-httpd, and what the head and body of a small answer do. TSC
// cycles by hand: they are the machine's unit for a budget. With --count N and a name a thing is
// done N times and no more, for callgrind.

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "answer.hpp"
#include "chunked.hpp"
#include "content.hpp"
#include "request_parser.hpp"
#include "routes.hpp"

namespace httpd {
namespace {

/// As wrk sends it.
constexpr std::string_view kSmall = "GET /bytes/64 HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n";
constexpr std::string_view kCurl =
    "GET /index.html HTTP/1.1\r\nHost: 10.0.0.2\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kBrowser =
    "GET /images/logo.svg?v=12 HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\nReferer: http://www.example.com/a/page.html\r\n"
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nPriority: u=5\r\n\r\n";

[[gnu::noinline]] std::size_t parse(std::string_view text) {
  RequestParser parser;
  return parser.parse(text) == RequestParser::Status::kComplete ? parser.head_octets() : 0;
}

/// From the parsed request to the octets of its answer.
[[gnu::noinline]] std::size_t answer(const Request& request, const Site& site, const HttpDate& date,
                                     std::span<char> out) {
  Answer answer;
  if (route(request, site, answer) != Route::kAnswer) return 0;
  const std::size_t head = write_head(answer, date, out.data());
  copy_body(answer, 0, out.subspan(head, static_cast<std::size_t>(answer.body_octets())));
  return head + static_cast<std::size_t>(answer.body_octets());
}

void set_cycles(benchmark::State& state, std::uint64_t began) {
  state.counters["cycles"] =
      static_cast<double>(__rdtsc() - began) / static_cast<double>(state.iterations());
}

void http_parse(benchmark::State& state, std::string_view text) {
  const std::uint64_t began = __rdtsc();
  for (auto _ : state) {
    benchmark::DoNotOptimize(text);
    if (parse(text) != text.size()) state.SkipWithError("not a request");
  }
  set_cycles(state, began);
}
BENCHMARK_CAPTURE(http_parse, small, kSmall)->Name("http.parse_small");
BENCHMARK_CAPTURE(http_parse, curl, kCurl)->Name("http.parse_curl");
BENCHMARK_CAPTURE(http_parse, browser, kBrowser)->Name("http.parse_browser");

struct Answering {
  Content content{""};
  Site site{.content = &content};
  HttpDate date = format_date(784111777);
  RequestParser parser;
  std::array<char, 16384> out;
};

void http_answer(benchmark::State& state) {
  Answering on;
  on.parser.parse(kSmall);
  const std::uint64_t began = __rdtsc();
  for (auto _ : state)
    if (answer(on.parser.request(), on.site, on.date, on.out) == 0) state.SkipWithError("none");
  set_cycles(state, began);
}
BENCHMARK(http_answer)->Name("http.answer_small");

void http_chunks(benchmark::State& state) {
  std::string text;
  while (text.size() < 60'000) text.append("400\r\n").append(1024, 'x').append("\r\n");
  const std::uint64_t began = __rdtsc();
  for (auto _ : state) {
    ChunkedDecoder decoder;
    for (std::size_t at = 0; at < text.size();)
      at += decoder.feed(std::string_view(text).substr(at)).taken;
    if (decoder.error() != 0) state.SkipWithError("not chunks");
  }
  set_cycles(state, began);
}
BENCHMARK(http_chunks)->Name("http.chunks_60k");

int run_counted(std::string_view what, std::uint64_t count) {
  Answering on;
  on.parser.parse(kSmall);
  std::size_t octets = 0;
  for (std::uint64_t i = 0; i < count; ++i)
    octets += what == "answer" ? answer(on.parser.request(), on.site, on.date, on.out)
                               : parse(what == "browser" ? kBrowser : kSmall);
  std::printf("%zu octets\n", octets);
  return 0;
}

}  // namespace
}  // namespace httpd

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--count") {
    const std::string_view text = argv[2];
    std::uint64_t count = 0;
    std::from_chars(text.data(), text.data() + text.size(), count);
    return httpd::run_counted(argv[3], count);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
