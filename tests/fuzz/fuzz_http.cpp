// What strangers send to sluice-httpd. The first octet of an input chooses: a request's head, given
// whole and cut at every place, against a second, plain reader of what frames it; a body in chunks,
// whole and in pieces; or a request's way to the octets of its answer.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "answer.hpp"
#include "base/assert.hpp"
#include "chunked.hpp"
#include "http_date.hpp"
#include "request_parser.hpp"
#include "routes.hpp"
#include "syntax.hpp"
#include "tests/fuzz/exact_block.hpp"

namespace {

using namespace httpd;
using sluice::fuzz::ExactBlock;
using Status = RequestParser::Status;

std::string_view text_of(const ExactBlock& block) {
  return {reinterpret_cast<const char*>(block.view().data()), block.view().size()};
}
ExactBlock block_of(std::string_view text) {
  return ExactBlock(std::as_bytes(std::span(text)));
}

#ifdef SLUICE_FUZZ_CANARY
/// The fault that the fuzzer must find: a line is taken to end.
void read_line_carelessly(std::string_view text) {
  const volatile char* at = text.data();
  if (!text.starts_with("GET /")) return;
  while (*at != '\n') ++at;
}
#endif

bool is_same(const Request& a, const Request& b) {
  return a.method() == b.method() && a.target() == b.target() && a.keep_alive() == b.keep_alive() &&
         a.is_http_1_0() == b.is_http_1_0() && a.expects_continue() == b.expects_continue() &&
         a.is_chunked() == b.is_chunked() && a.content_length() == b.content_length() &&
         a.range() == b.range() && a.if_range() == b.if_range() &&
         a.if_none_match() == b.if_none_match() && a.if_modified_since() == b.if_modified_since();
}

/// What frames a head that was accepted, read as simply as can be.
void read_plainly(std::string_view head, const Request& request) {
  while (head.starts_with("\r\n")) head.remove_prefix(2);
  SLUICE_ASSERT(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4);
  unsigned hosts = 0, lengths = 0, codings = 0;
  bool is_first = true;
  for (head.remove_suffix(2); !head.empty(); is_first = false) {
    const std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    SLUICE_ASSERT(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    if (is_first) {
      SLUICE_ASSERT(line.find(request.target()) != std::string_view::npos);
      SLUICE_ASSERT(std::count(line.begin(), line.end(), ' ') == 2);
      continue;
    }
    const std::size_t colon = line.find(':');
    SLUICE_ASSERT(colon != std::string_view::npos && colon > 0);
    std::string name(line.substr(0, colon));
    SLUICE_ASSERT(name.find_first_of(" \t") == std::string::npos);
    for (char& octet : name) octet = lower(octet);
    const std::string value(trimmed(line.substr(colon + 1)));
    hosts += name == "host";
    if (name == "transfer-encoding") {
      ++codings;
      SLUICE_ASSERT(equals_ignoring_case(value, "chunked"));
    }
    if (name != "content-length") continue;
    ++lengths;
    SLUICE_ASSERT(value.find_first_not_of("0123456789") == std::string::npos);
    SLUICE_ASSERT(std::stoull(value) == request.content_length());
  }
  SLUICE_ASSERT(lengths + codings <= 1 && hosts <= 1);
  SLUICE_ASSERT(request.is_chunked() == (codings == 1));
  SLUICE_ASSERT(lengths == 1 || request.content_length() == 0);
  SLUICE_ASSERT(request.is_http_1_0() ? codings == 0 : hosts == 1);
}

void fuzz_head(std::string_view text) {
  const ExactBlock whole = block_of(text);
  RequestParser parser;
  const Status status = parser.parse(text_of(whole));
#ifdef SLUICE_FUZZ_CANARY
  read_line_carelessly(text_of(whole));
#endif
  SLUICE_ASSERT((parser.error() != 0) == (status == Status::kError));
  if (status == Status::kComplete)
    read_plainly(text_of(whole).substr(0, parser.head_octets()), parser.request());

  const auto check = [&](const RequestParser& other, Status got) {
    SLUICE_ASSERT(got == status && other.error() == parser.error());
    if (status != Status::kComplete) return;
    SLUICE_ASSERT(other.head_octets() == parser.head_octets());
    SLUICE_ASSERT(is_same(other.request(), parser.request()));
  };
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    const ExactBlock front = block_of(text.substr(0, cut));
    RequestParser split;
    Status got = split.parse(text_of(front));
    if (got == Status::kMore) got = split.parse(text_of(whole));
    // What the front decides must not depend on what comes behind it.
    check(split, got);
  }
  RequestParser drop;  // octet by octet
  Status got = Status::kMore;
  for (std::size_t length = 1; length <= text.size() && got == Status::kMore; ++length) {
    const ExactBlock front = block_of(text.substr(0, length));
    got = drop.parse(text_of(front));
    if (got != Status::kMore) check(drop, got);
  }
  if (got == Status::kMore) check(drop, got);
}

struct Decoded {
  ChunkedDecoder::Status status = ChunkedDecoder::Status::kMore;
  std::uint16_t error = 0;
  std::size_t taken = 0;
  std::string content;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view text, std::size_t cut) {
  ChunkedDecoder decoder;
  Decoded result;
  while (result.taken < text.size() && result.status == ChunkedDecoder::Status::kMore) {
    const std::size_t end = result.taken < cut ? cut : text.size();
    const ExactBlock block = block_of(text.substr(result.taken, end - result.taken));
    const auto step = decoder.feed(text_of(block));
    SLUICE_ASSERT(step.taken > 0 && step.taken <= block.view().size());
    result.content += step.content;
    result.taken += step.taken;
    result.status = step.status;
  }
  result.error = decoder.error();
  return result;
}

void fuzz_chunks(std::string_view text) {
  const Decoded whole = decode(text, text.size());
  SLUICE_ASSERT((whole.error != 0) == (whole.status == ChunkedDecoder::Status::kError));
  SLUICE_ASSERT(whole.content.size() <= whole.taken);
  for (std::size_t cut = 1; cut < text.size(); ++cut) SLUICE_ASSERT(decode(text, cut) == whole);
}

void fuzz_answer(std::string_view text) {
  static const Content content("");
  static const Site site{.content = &content, .max_body = 1000};
  const ExactBlock whole = block_of(text);
  RequestParser parser;
  if (parser.parse(text_of(whole)) != Status::kComplete) return;
  Answer answer;
  const Route to = route(parser.request(), site, answer);
  SLUICE_ASSERT(!answer.keep_alive || parser.request().keep_alive());
  if (to == Route::kUpload) SLUICE_ASSERT(parser.request().content_length() <= site.max_body);
  if (to != Route::kAnswer) return;
  SLUICE_ASSERT(!answer.keep_alive || !parser.request().has_body());
  SLUICE_ASSERT(answer.status == 416 || answer.offset + answer.length <= answer.total ||
                answer.status >= 300);
  std::array<char, kMaxHeadOctets> head;
  const std::size_t octets = write_head(answer, format_date(784111777), head.data());
  SLUICE_ASSERT(octets <= head.size());
  const std::string_view written(head.data(), octets);
  SLUICE_ASSERT(written.ends_with("\r\n\r\n") && written.find("\r\n\r\n") == octets - 4);
  const std::string zeros(std::min<std::uint64_t>(answer.body_octets(), 70'000), '\0');
  ExactBlock body = block_of(zeros);
  copy_body(answer, 0, {reinterpret_cast<char*>(body.view().data()), body.view().size()});
}

void fuzz_date(std::string_view text) {
  const ExactBlock block = block_of(text);
  const auto seconds = parse_date(text_of(block));
  if (!seconds || *seconds < 0 || *seconds > 253402300799) return;  // from 1970 to 9999
  const HttpDate date = format_date(*seconds);
  SLUICE_ASSERT(parse_date({date.data(), date.size()}) == seconds);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  constexpr std::array kEntries = {fuzz_head, fuzz_chunks, fuzz_answer, fuzz_date};
  if (count == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, count - 1);
  kEntries[data[0] % kEntries.size()](text);
  return 0;
}
