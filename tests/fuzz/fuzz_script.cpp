// Any octets as a script of tests/script: the parser says yes or where it is wrong, and an
// expression that compiled can be evaluated. An input is the text itself; if its last octet is no
// ASCII, the octets before that one are said again and again, for what recurses or takes quadratic
// time is found only in something long.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "tests/fuzz/exact_block.hpp"
#include "tests/script/parser.hpp"

namespace {

using namespace sluice;

#ifdef SLUICE_FUZZ_CANARY
/// The fault that the fuzzer must find: whoever opens a text is believed to close it.
void skip_texts_carelessly(std::string_view text) {
  const volatile char* const octets = text.data();
  std::size_t at = 0;
  while (at < text.size()) {
    if (octets[at++] != '"') continue;
    while (octets[at] != '"') ++at;
    ++at;
  }
}
#endif

std::string text_of(const std::uint8_t* data, std::size_t count) {
  constexpr std::size_t kLongText = 1 << 15;
  constexpr std::size_t kLongestPiece = 16;
  std::string text(reinterpret_cast<const char*>(data), count);
  if (count < 2 || data[count - 1] < 0x80) return text;
  text.pop_back();
  const std::size_t length =
      std::min<std::size_t>(text.size(), data[count - 1] % kLongestPiece + 1u);
  const std::string piece = text.substr(text.size() - length);
  while (text.size() < kLongText) text += piece;
  return text;
}

void check_packet(const script::TcpPacket& packet) {
  if (!packet.options) return;
  for (const script::TcpOption& option : *packet.options) {
    SLUICE_ASSERT(option.blocks <= option.sack.size());
    SLUICE_ASSERT(script::length_of(option) >= 1);
  }
}

/// What compiled leaves one value, or says why not.
void check_code(const script::Code& code) {
  const script::Figures figures = [](std::string_view name) -> std::optional<std::int64_t> {
    if (name.size() > 8) return std::nullopt;
    return name.size() % 2 == 0 ? static_cast<std::int64_t>(name.size()) : INT64_MIN;
  };
  for (const script::Assertion& assertion : code.assertions) {
    SLUICE_ASSERT(!assertion.program.empty());
    std::string error;
    const auto value = script::evaluate(assertion.program, figures, error);
    SLUICE_ASSERT(value.has_value() == error.empty());
  }
}

void check_script(const script::Script& script, std::size_t lines) {
  unsigned line = 1;
  for (const script::HeaderLine& header : script.header) {
    SLUICE_ASSERT(header.line >= line && header.line <= lines && !header.name.empty());
    line = header.line;
  }
  for (const script::Event& event : script.events) {
    SLUICE_ASSERT(event.line >= line && event.line <= lines);
    line = event.line;
    SLUICE_ASSERT(event.time.earliest <= event.time.latest);
    if (const auto* const packet = std::get_if<script::TcpPacket>(&event.action))
      check_packet(*packet);
    if (const auto* const code = std::get_if<script::Code>(&event.action)) check_code(*code);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  const std::string made = text_of(data, count);
  const fuzz::ExactBlock block(std::as_bytes(std::span(made)));
  const std::string_view text(reinterpret_cast<const char*>(block.view().data()), made.size());
#ifdef SLUICE_FUZZ_CANARY
  skip_texts_carelessly(text);
#endif
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  script::Script script;
  script::ScriptError error;
  if (script::parse(text, script, error)) {
    check_script(script, lines);
  } else {
    SLUICE_ASSERT(!error.what.empty() && error.line >= 1 && error.line <= lines);
  }
  return 0;
}
