#include "tests/script/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace sluice::script {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

class Lexer {
 public:
  Lexer(std::string_view text, std::vector<Token>& tokens, ScriptError& error)
      : rest_(text), tokens_(tokens), error_(error) {}

  bool run() {
    while (skip_blanks(), ok_ && !rest_.empty())
      if (!next()) return false;
    if (!ok_) return false;
    push(Token::Kind::kEnd, 0);
    return true;
  }

 private:
  bool fail(std::string what) {
    error_ = {line_, std::move(what)};
    ok_ = false;
    return false;
  }

  void take(std::size_t count) {
    line_ += static_cast<unsigned>(
        std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(count), '\n'));
    rest_.remove_prefix(count);
  }

  void skip_blanks() {
    for (;;) {
      std::size_t blanks = 0;
      while (blanks < rest_.size() && is_blank(rest_[blanks])) ++blanks;
      take(blanks);
      if (rest_.starts_with("//")) {
        take(std::min(rest_.find('\n'), rest_.size()));
      } else if (rest_.starts_with("/*")) {
        const std::size_t end = rest_.find("*/", 2);
        if (end == std::string_view::npos) {
          fail("`/*` without `*/`");
          return;
        }
        take(end + 2);
      } else {
        return;
      }
    }
  }

  Token token_of(Token::Kind kind, std::string_view text) const {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = text;
    return token;
  }

  void push(Token::Kind kind, std::size_t length) {
    tokens_.push_back(token_of(kind, rest_.substr(0, length)));
    take(length);
  }

  /// From `open` to `close`; the token is what lies between.
  bool enclosed(Token::Kind kind, std::string_view open, std::string_view close) {
    const std::size_t end = rest_.find(close, open.size());
    if (end == std::string_view::npos) return fail(fmt::format("`{}` without `{}`", open, close));
    const std::string_view inner = rest_.substr(open.size(), end - open.size());
    tokens_.push_back(token_of(kind, inner));
    take(end + close.size());
    return true;
  }

  bool next() {
    const char c = rest_.front();
    const char second = rest_.size() > 1 ? rest_[1] : '\0';
    if (rest_.starts_with("%{")) return enclosed(Token::Kind::kCode, "%{", "}%");
    if (c == '"') return enclosed(Token::Kind::kText, "\"", "\"");
    if (c == '`') return enclosed(Token::Kind::kShell, "`", "`");
    if (rest_.starts_with("--")) {
      push(Token::Kind::kHeader, std::min(rest_.find('\n'), rest_.size()));
      return true;
    }
    if (rest_.starts_with("...")) {
      push(Token::Kind::kEllipsis, 3);
      return true;
    }
    const bool is_negative = c == '-' && (is_digit(second) || second == '.');
    if (is_digit(c) || (c == '.' && is_digit(second)) || is_negative) return number();
    if (is_word_start(c)) {
      std::size_t length = 1;
      while (length < rest_.size() && (is_word_start(rest_[length]) || is_digit(rest_[length])))
        ++length;
      push(Token::Kind::kWord, length);
      return true;
    }
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      return fail("a character that no script has");
    push(Token::Kind::kSign, 1);
    return true;
  }

  bool hex_number() {
    Token token = token_of(Token::Kind::kNumber, {});
    std::size_t length = 2;
    while (length < rest_.size() && std::isxdigit(static_cast<unsigned char>(rest_[length]))) {
      const char c = rest_[length];
      const int digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
      if (token.number >> 40) return fail("a number is out of range");
      token.number = token.number * 16 + digit;
      ++length;
    }
    if (length == 2) return fail("`0x` without digits");
    token.text = rest_.substr(0, length);
    tokens_.push_back(token);
    take(length);
    return true;
  }

  bool number() {
    if (rest_.starts_with("0x")) return hex_number();
    Token token = token_of(Token::Kind::kNumber, {});
    constexpr std::int64_t kBillion = 1'000'000'000;
    const std::int64_t sign = rest_.front() == '-' ? -1 : 1;
    std::size_t length = sign < 0 ? 1 : 0;
    for (; length < rest_.size() && is_digit(rest_[length]); ++length) {
      token.number = token.number * 10 + (rest_[length] - '0');
      if (token.number > 8 * kBillion) return fail("a number is out of range");
    }
    std::int64_t fraction = 0;
    // Not the point of "1.." or of an ellipsis.
    if (length + 1 < rest_.size() && rest_[length] == '.' && is_digit(rest_[length + 1])) {
      token.is_whole = false;
      std::int64_t unit = kBillion / 10;
      for (++length; length < rest_.size() && is_digit(rest_[length]); ++length, unit /= 10)
        fraction += (rest_[length] - '0') * unit;
    } else if (length == 1 && sign < 0) {
      return fail("`-` without a number");
    }
    token.nanos = sign * (token.number * kBillion + fraction);
    token.number *= sign;
    token.text = rest_.substr(0, length);
    tokens_.push_back(token);
    take(length);
    return true;
  }

  std::string_view rest_;
  unsigned line_ = 1;
  bool ok_ = true;
  std::vector<Token>& tokens_;
  ScriptError& error_;
};

}  // namespace

bool tokenize(std::string_view text, std::vector<Token>& tokens, ScriptError& error) {
  return Lexer(text, tokens, error).run();
}

}  // namespace sluice::script
