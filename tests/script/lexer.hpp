#pragma once

// A script's text as tokens. Reads nothing beyond the text it is given, and never recurses.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/script/ast.hpp"

namespace sluice::script {

struct Token {
  enum class Kind : std::uint8_t {
    kEnd,
    kNumber,    ///< `-1`, `0x10`, `.25`: `number`, `nanos`.
    kWord,      ///< Letters, digits, `_`; begins with a letter.
    kText,      ///< "..." without its quotes.
    kCode,      ///< %{ ... }% without its braces.
    kShell,     ///< `...`
    kHeader,    ///< --name and the rest of its line.
    kEllipsis,  ///< ...
    kSign,      ///< One other character.
  };
  Kind kind = Kind::kEnd;
  unsigned line = 0;
  std::string_view text;
  std::int64_t number = 0;  ///< kNumber: the whole part.
  std::int64_t nanos = 0;   ///< kNumber: in billionths.
  bool is_whole = true;     ///< kNumber: without a decimal point.

  bool is_sign(char c) const { return kind == Kind::kSign && text.front() == c; }
  bool is_word(std::string_view word) const { return kind == Kind::kWord && text == word; }
};

/// All tokens of `text`, the last of kind kEnd; they borrow from it. False and `error` otherwise.
bool tokenize(std::string_view text, std::vector<Token>& tokens, ScriptError& error);

}  // namespace sluice::script
