#pragma once

// `assert tcpi_snd_cwnd == 10 and tcpi_unacked < 3`: compiled to postfix once, evaluated without
// recursion. Integers only; 0 is false.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::script {

enum class Operator : std::uint8_t {
  kOr,
  kAnd,
  kNot,
  kEqual,
  kUnequal,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kBitOr,
  kBitAnd,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,  ///< `/` and `//`: rounds towards zero.
  kModulo,
  kNegate,
  kOpen,  ///< While compiling: `(`.
};

/// One step of a postfix program.
struct Step {
  enum class Kind : std::uint8_t { kNumber, kName, kOperator };
  Kind kind = Kind::kNumber;
  std::int64_t number = 0;
  std::string name;
  Operator op = Operator::kOr;
};

struct Assertion {
  unsigned line = 0;
  std::string text;  ///< As written.
  std::vector<Step> program;
};

/// Compiles `text`; false and `error` if it is no expression.
bool compile(std::string_view text, std::vector<Step>& program, std::string& error);

/// A figure by name; nothing if there is none.
using Figures = std::function<std::optional<std::int64_t>(std::string_view name)>;

/// The value; nothing and `error` for an unknown name or a division by zero.
std::optional<std::int64_t> evaluate(const std::vector<Step>& program, const Figures& figures,
                                     std::string& error);

}  // namespace sluice::script
