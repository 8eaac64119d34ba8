#include "apps/ctl/picture_style.hpp"

namespace sluice::ctl {

const Phase& phase_of(tcp::State state) {
  switch (state) {
    case tcp::State::kClosed:
    case tcp::State::kListen:
      return kNoConnection;
    case tcp::State::kSynSent:
    case tcp::State::kSynReceived:
      return kOpening;
    case tcp::State::kEstablished:
      return kOpen;
    case tcp::State::kFinWait1:
    case tcp::State::kFinWait2:
    case tcp::State::kCloseWait:
    case tcp::State::kClosing:
    case tcp::State::kLastAck:
      return kClosing;
    case tcp::State::kTimeWait:
      return kTimeWaiting;
  }
  return kNoConnection;
}

void draw_state(Svg& svg, Point left_middle, tcp::State state, Source source) {
  const bool is_inferred = source == Source::kInferred;
  const Phase& phase = phase_of(state);
  svg.box({left_middle.x, left_middle.y - kPillHeight / 2}, {kPillWidth, kPillHeight},
          {.fill = phase.fill,
           .stroke = is_inferred ? phase.ink : "none",
           .radius = 5,
           .dashes = is_inferred ? "2 2" : ""});
  const std::string name = (is_inferred ? "~ " : "") + std::string(tcp::to_string(state));
  svg.text({left_middle.x + kPillWidth / 2, left_middle.y + 3.8}, name,
           {.size = 10.5, .colour = phase.ink, .anchor = "middle", .is_bold = true});
}

}  // namespace sluice::ctl
