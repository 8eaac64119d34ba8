#pragma once

// The left part of the picture: time axis, both lifelines with their states, arrows between them.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/ctl/flow_trace.hpp"
#include "apps/ctl/picture_rows.hpp"
#include "apps/ctl/svg.hpp"

namespace sluice::ctl {

/// States that changed at one time: a row of the table beside the diagram.
struct StateRow {
  std::string time;
  std::optional<tcp::State> ours;
  std::optional<tcp::State> peers;
};

/// Lays the rows out when made, then draws them; `trace` is borrowed.
class Diagram {
 public:
  Diagram(const FlowTrace& trace, std::size_t max_segments);

  void draw(Svg& svg, double top);
  /// Pixels from draw()'s `top` to its lower end.
  double height() const { return y_ + 8; }
  static double width();

  const std::vector<StateRow>& state_rows() const { return state_rows_; }

 private:
  struct StateChange {
    double y;
    tcp::State state;
  };
  struct Placed {
    double y;             ///< Where the row begins: the upper end of an arrow.
    double our_y;         ///< Where it meets our lifeline: its time.
    double last_state_y;  ///< Of the last of our states that it led to, or our_y.
    const TraceItem* item;
  };

  void lay_out();
  void place_gap(const PictureRow& gap);
  void place_pause(const TraceItem& item);
  void place_item(const TraceItem& item);
  void place_states(const TraceItem& item, double our_y, double peer_y);

  void draw_ends();
  void draw_end_box(double x, const std::string& endpoint, std::string_view who);
  void draw_axis();
  void draw_lifeline(double x, const std::vector<StateChange>& changes);
  void draw_gap(double y, const PictureRow& gap);
  void draw_pause(double y, const std::string& length);
  void draw_item(const Placed& placed);
  void draw_arrow(double y, const TracedSegment& segment, std::string_view colour);
  void draw_segment(double y, const TracedSegment& segment);
  void draw_note(double y, const TraceItem& item);
  void draw_states();
  std::string numbers_of(const TracedSegment& segment) const;
  double at(double y) const { return top_ + y; }

  const FlowTrace& trace_;
  std::vector<PictureRow> rows_;
  std::vector<StateRow> state_rows_;
  std::vector<StateChange> ours_;
  std::vector<StateChange> peers_;
  std::vector<Placed> items_;
  std::vector<std::pair<double, PictureRow>> gaps_;
  std::vector<std::pair<double, std::string>> pauses_;
  std::optional<Instant> last_time_;
  double y_ = 0;
  double top_ = 0;
  Svg* svg_ = nullptr;  ///< While drawing.
};

}  // namespace sluice::ctl
