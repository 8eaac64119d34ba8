#pragma once

// Colours and measures of the picture, and the elements that diagram and table share.

#include <string>
#include <string_view>

#include "apps/ctl/svg.hpp"
#include "tcp/state.hpp"

namespace sluice::ctl {

inline constexpr std::string_view kInk = "#263238";
inline constexpr std::string_view kFaint = "#78909c";
inline constexpr std::string_view kHair = "#dde3e7";
inline constexpr std::string_view kDataColour = "#1565c0";
inline constexpr std::string_view kDropColour = "#c62828";
inline constexpr std::string_view kAgainColour = "#d9730d";

/// A part of a connection's life, which has a colour.
struct Phase {
  std::string_view name;
  std::string_view fill;
  std::string_view ink;
};
inline constexpr Phase kNoConnection{"no connection", "#cfd8dc", "#37474f"};
inline constexpr Phase kOpening{"opening", "#ffd166", "#5c4400"};
inline constexpr Phase kOpen{"open", "#6cc48c", "#0b3b20"};
inline constexpr Phase kClosing{"closing", "#f4a582", "#5e1f05"};
inline constexpr Phase kTimeWaiting{"TIME-WAIT", "#b9a7e0", "#2f1c66"};

const Phase& phase_of(tcp::State state);

inline constexpr double kMargin = 36;
inline constexpr double kPillWidth = 112;
inline constexpr double kPillHeight = 20;

/// Whose state it is: ours, which we know, or the peer's.
enum class Source : unsigned char { kKnown, kInferred };

/// A state in its phase's colour; its left edge and its middle are at `left_middle`.
void draw_state(Svg& svg, Point left_middle, tcp::State state, Source source);

}  // namespace sluice::ctl
