#pragma once

// How a key of the table reaches its member: by what kind of value. For config_keys.cpp alone.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/config.hpp"

namespace sluice::runtime {

// `at` gives a reference to the member, of a const or mutable Config alike.
template <class At>
Field count(At at, std::uint64_t least, std::uint64_t most) {
  return CountField{[at](const Config& config) { return std::uint64_t{at(config)}; },
                    [at](Config& config, std::uint64_t value) {
                      auto& member = at(config);
                      member = static_cast<std::remove_reference_t<decltype(member)>>(value);
                    },
                    least, most};
}

inline Field duration(Duration& (*at)(Config&), Duration least, Duration most) {
  return DurationField{at, least, most};
}

inline Field flag(bool& (*at)(Config&)) {
  return FlagField{at};
}

template <class At>
Field text(At at, bool (*is_valid)(std::string_view), std::string_view expects) {
  return TextField{[at](const Config& config) { return at(config); },
                   [at, is_valid](Config& config, const std::string& value) {
                     if (!is_valid(value)) return false;
                     at(config) = value;
                     return true;
                   },
                   expects};
}

template <class At, class Enum>
Field choice(At at, const std::vector<std::pair<std::string_view, Enum>>& names,
             std::string_view expects) {
  return TextField{[at, names](const Config& config) {
                     for (const auto& [name, value] : names)
                       if (value == at(config)) return std::string(name);
                     return std::string();
                   },
                   [at, names](Config& config, const std::string& text) {
                     for (const auto& [name, value] : names) {
                       if (name != text) continue;
                       at(config) = value;
                       return true;
                     }
                     return false;
                   },
                   expects};
}

/// An optional member: the empty text is none.
template <class At, class Parse>
Field optional_text(At at, Parse parse, std::string_view expects) {
  return TextField{[at](const Config& config) {
                     return at(config) ? sluice::to_string(*at(config)) : std::string();
                   },
                   [at, parse](Config& config, const std::string& text) {
                     at(config).reset();
                     if (!text.empty()) at(config) = parse(text);
                     return text.empty() || at(config).has_value();
                   },
                   expects};
}

template <class At, class Parse, class Print>
Field list(At at, Parse parse, Print print, std::string_view expects, bool is_numeric = false) {
  return ListField{[at, print](const Config& config) {
                     std::vector<std::string> items;
                     for (const auto& item : at(config)) items.push_back(print(item));
                     return items;
                   },
                   [at](Config& config) { at(config).clear(); },
                   [at, parse](Config& config, const std::string& text) {
                     const auto item = parse(text);
                     if (!item) return false;
                     if constexpr (requires { at(config).push_back(*item); })
                       at(config).push_back(*item);
                     else  // one text stands for several items
                       at(config).insert(at(config).end(), item->begin(), item->end());
                     return true;
                   },
                   expects, is_numeric};
}

// The member is named once; the lambda works for const and mutable Config.
#define AT(member)            \
  [](auto& config) -> auto& { \
    return config.member;     \
  }
#define AT_MUTABLE(member)       \
  [](Config & config) -> auto& { \
    return config.member;        \
  }

constexpr std::uint64_t kMany = 16'777'216;
constexpr auto kRestart = Reload::kRestart;
constexpr auto kReload = Reload::kReload;
constexpr Duration us(std::int64_t n) {
  return Duration::from_us(n);
}
constexpr Duration ms(std::int64_t n) {
  return Duration::from_ms(n);
}
constexpr Duration s(std::int64_t n) {
  return Duration::from_s(n);
}

}  // namespace sluice::runtime
