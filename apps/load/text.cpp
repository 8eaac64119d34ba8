#include "text.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace load {
namespace {

/// Three digits, a blank and the unit.
std::string three_digits(double value, std::string_view unit) {
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", value, decimals, unit.empty() ? "" : " ", unit);
}

}  // namespace

std::string time_text(sluice::Duration duration) {
  constexpr std::array<std::pair<double, std::string_view>, 3> kUnits = {
      {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}}};
  const auto ns = static_cast<double>(duration.ns());
  for (const auto& [factor, unit] : kUnits)
    if (ns >= 0.9995 * factor) return three_digits(ns / factor, unit);
  return fmt::format("{:.0f} ns", ns);
}

std::string with_unit(double amount) {
  constexpr std::array<std::pair<double, std::string_view>, 3> kUnits = {
      {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const auto& [factor, unit] : kUnits)
    if (amount >= 0.9995 * factor) return three_digits(amount / factor, unit);
  return three_digits(amount, "");
}

std::string grouped(std::uint64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace load
