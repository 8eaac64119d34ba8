#include "tests/script/expression.hpp"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>

namespace sluice::script {
namespace {

constexpr std::size_t kMaxSteps = 256;

int precedence(Operator op) {
  switch (op) {
    case Operator::kOpen:
      return 0;
    case Operator::kOr:
      return 1;
    case Operator::kAnd:
      return 2;
    case Operator::kNot:
      return 3;
    case Operator::kEqual:
    case Operator::kUnequal:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual:
      return 4;
    case Operator::kBitOr:
      return 5;
    case Operator::kBitAnd:
      return 6;
    case Operator::kAdd:
    case Operator::kSubtract:
      return 7;
    case Operator::kMultiply:
    case Operator::kDivide:
    case Operator::kModulo:
      return 8;
    case Operator::kNegate:
      return 9;
  }
  return 0;
}

bool is_unary(Operator op) {
  return op == Operator::kNot || op == Operator::kNegate;
}
bool is_comparison(Operator op) {
  return precedence(op) == precedence(Operator::kEqual);
}

struct Symbol {
  std::string_view text;
  Operator op;
};
// Longer ones first.
constexpr std::array kSymbols = {
    Symbol{"==", Operator::kEqual},     Symbol{"!=", Operator::kUnequal},
    Symbol{"<=", Operator::kLessEqual}, Symbol{">=", Operator::kGreaterEqual},
    Symbol{"//", Operator::kDivide},    Symbol{"<", Operator::kLess},
    Symbol{">", Operator::kGreater},    Symbol{"|", Operator::kBitOr},
    Symbol{"&", Operator::kBitAnd},     Symbol{"+", Operator::kAdd},
    Symbol{"-", Operator::kSubtract},   Symbol{"*", Operator::kMultiply},
    Symbol{"/", Operator::kDivide},     Symbol{"%", Operator::kModulo},
};

bool is_word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

/// Dijkstra's shunting yard: operands go out at once, operators wait on a stack.
class Compiler {
 public:
  Compiler(std::string_view text, std::vector<Step>& program, std::string& error)
      : text_(text), program_(program), error_(error) {}

  bool run() {
    program_.clear();
    while (skip_blanks(), at_ < text_.size()) {
      if (program_.size() + waiting_.size() >= kMaxSteps) return fail("the expression is too long");
      if (!(wants_operand_ ? take_operand() : take_operator())) return false;
    }
    if (wants_operand_) return fail("a value is missing at the end");
    while (!waiting_.empty()) {
      if (waiting_.back() == Operator::kOpen) return fail("`(` without `)`");
      emit_waiting();
    }
    return true;
  }

 private:
  bool fail(std::string what) {
    error_ = std::move(what);
    return false;
  }
  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  std::string_view word() {
    std::size_t end = at_;
    while (end < text_.size() && is_word_char(text_[end])) ++end;
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end;
    return found;
  }

  bool take_operand() {
    const char c = text_[at_];
    if (c == '(' || c == '-') {
      waiting_.push_back(c == '(' ? Operator::kOpen : Operator::kNegate);
      ++at_;
      return true;
    }
    if (!is_word_char(c)) return fail(fmt::format("a value is missing before `{}`", c));
    const std::string_view found = word();
    if (found == "not") {
      waiting_.push_back(Operator::kNot);
      return true;
    }
    if (found == "and" || found == "or")
      return fail(fmt::format("a value is missing before `{}`", found));
    Step step;
    if (std::isdigit(static_cast<unsigned char>(c))) {
      const bool is_hex = found.starts_with("0x") || found.starts_with("0X");
      const std::string_view digits = is_hex ? found.substr(2) : found;
      const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(),
                                               step.number, is_hex ? 16 : 10);
      if (code != std::errc{} || end != digits.data() + digits.size())
        return fail(fmt::format("not a number: `{}`", found));
    } else {
      step.kind = Step::Kind::kName;
      step.name = found;
    }
    program_.push_back(std::move(step));
    wants_operand_ = false;
    return true;
  }

  bool take_operator() {
    if (text_[at_] == ')') {
      ++at_;
      while (!waiting_.empty() && waiting_.back() != Operator::kOpen) emit_waiting();
      if (waiting_.empty()) return fail("`)` without `(`");
      waiting_.pop_back();
      return true;
    }
    const std::optional<Operator> op = next_operator();
    if (!op) return fail(fmt::format("an operator is missing at `{}`", text_.substr(at_)));
    while (!waiting_.empty() && precedence(waiting_.back()) >= precedence(*op)) {
      if (is_comparison(waiting_.back()) && is_comparison(*op))
        return fail("comparisons do not chain: write `a < b and b < c`");
      emit_waiting();
    }
    waiting_.push_back(*op);
    wants_operand_ = true;
    return true;
  }

  std::optional<Operator> next_operator() {
    if (is_word_char(text_[at_])) {
      const std::size_t before = at_;
      const std::string_view found = word();
      if (found == "and") return Operator::kAnd;
      if (found == "or") return Operator::kOr;
      at_ = before;
      return std::nullopt;
    }
    for (const Symbol& symbol : kSymbols) {
      if (!text_.substr(at_).starts_with(symbol.text)) continue;
      at_ += symbol.text.size();
      return symbol.op;
    }
    return std::nullopt;
  }

  void emit_waiting() {
    Step step;
    step.kind = Step::Kind::kOperator;
    step.op = waiting_.back();
    program_.push_back(std::move(step));
    waiting_.pop_back();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool wants_operand_ = true;
  std::vector<Operator> waiting_;
  std::vector<Step>& program_;
  std::string& error_;
};

std::int64_t unary(Operator op, std::int64_t value) {
  // By way of unsigned: a fuzzer finds the most negative number.
  return op == Operator::kNot
             ? (value == 0 ? 1 : 0)
             : static_cast<std::int64_t>(std::uint64_t{0} - static_cast<std::uint64_t>(value));
}

std::optional<std::int64_t> binary(Operator op, std::int64_t a, std::int64_t b) {
  const auto ua = static_cast<std::uint64_t>(a);
  const auto ub = static_cast<std::uint64_t>(b);
  switch (op) {
    case Operator::kOr:
      return a != 0 || b != 0;
    case Operator::kAnd:
      return a != 0 && b != 0;
    case Operator::kEqual:
      return a == b;
    case Operator::kUnequal:
      return a != b;
    case Operator::kLess:
      return a < b;
    case Operator::kLessEqual:
      return a <= b;
    case Operator::kGreater:
      return a > b;
    case Operator::kGreaterEqual:
      return a >= b;
    case Operator::kBitOr:
      return static_cast<std::int64_t>(ua | ub);
    case Operator::kBitAnd:
      return static_cast<std::int64_t>(ua & ub);
    case Operator::kAdd:
      return static_cast<std::int64_t>(ua + ub);
    case Operator::kSubtract:
      return static_cast<std::int64_t>(ua - ub);
    case Operator::kMultiply:
      return static_cast<std::int64_t>(ua * ub);
    case Operator::kDivide:
    case Operator::kModulo:
      if (b == 0) return std::nullopt;
      if (b == -1) return op == Operator::kModulo ? 0 : unary(Operator::kNegate, a);
      return op == Operator::kDivide ? a / b : a % b;
    case Operator::kNot:
    case Operator::kNegate:
    case Operator::kOpen:
      break;
  }
  return std::nullopt;
}

}  // namespace

bool compile(std::string_view text, std::vector<Step>& program, std::string& error) {
  return Compiler(text, program, error).run();
}

std::optional<std::int64_t> evaluate(const std::vector<Step>& program, const Figures& figures,
                                     std::string& error) {
  std::vector<std::int64_t> stack;
  for (const Step& step : program) {
    if (step.kind == Step::Kind::kNumber) {
      stack.push_back(step.number);
      continue;
    }
    if (step.kind == Step::Kind::kName) {
      const auto value = figures(step.name);
      if (!value) {
        error = fmt::format("there is no figure `{}`", step.name);
        return std::nullopt;
      }
      stack.push_back(*value);
      continue;
    }
    if (is_unary(step.op)) {
      stack.back() = unary(step.op, stack.back());
      continue;
    }
    const std::int64_t right = stack.back();
    stack.pop_back();
    const auto value = binary(step.op, stack.back(), right);
    if (!value) {
      error = "division by zero";
      return std::nullopt;
    }
    stack.back() = *value;
  }
  return stack.back();
}

}  // namespace sluice::script
