#include "apps/ctl/picture_rows.hpp"

#include <algorithm>

namespace sluice::ctl {
namespace {

/// A gap of fewer segments would save no room: its mark is a row as well.
constexpr std::size_t kSmallestGap = 3;

bool is_segment(const TraceItem& item) {
  return item.kind == TraceItem::Kind::kSegment;
}

bool changes_state(const TraceItem& item) {
  return !item.transitions.empty() || item.has_peer_changed || item.close_reason.has_value();
}

std::vector<bool> choose_kept(const FlowTrace& trace, std::size_t max_segments) {
  const std::vector<TraceItem>& items = trace.items;
  std::vector<bool> kept(items.size(), items.size() <= max_segments);
  if (items.size() <= max_segments) return kept;
  const std::size_t edge = std::max<std::size_t>(max_segments / 3, 1);
  std::size_t budget = max_segments > 2 * edge ? max_segments - 2 * edge : 0;
  for (std::size_t i = 0; i < items.size(); ++i)
    kept[i] = i < edge || i + edge >= items.size() || changes_state(items[i]);
  for (std::size_t i = 0; i < items.size() && budget > 0; ++i) {
    const bool is_noteworthy =
        !is_segment(items[i]) || items[i].segment.is_refused || items[i].segment.is_retransmission;
    if (kept[i] || !is_noteworthy || items[i].kind == TraceItem::Kind::kUserCall) continue;
    kept[i] = true;
    --budget;
  }
  for (std::size_t i = 0; i < items.size();) {
    std::size_t end = i;
    while (end < items.size() && !kept[end]) ++end;
    if (end - i < kSmallestGap)
      std::fill_n(kept.begin() + static_cast<std::ptrdiff_t>(i), end - i, true);
    i = end + 1;
  }
  return kept;
}

}  // namespace

std::vector<PictureRow> choose_rows(const FlowTrace& trace, std::size_t max_segments) {
  const std::vector<bool> kept = choose_kept(trace, max_segments);
  std::vector<PictureRow> rows;
  for (std::size_t i = 0; i < trace.items.size(); ++i) {
    const TraceItem& item = trace.items[i];
    if (kept[i]) {
      rows.push_back({.item = &item});
      continue;
    }
    if (rows.empty() || rows.back().item != nullptr) rows.push_back({});
    PictureRow& gap = rows.back();
    if (!is_segment(item)) continue;
    ++gap.segments;
    (item.segment.is_sent ? gap.bytes_sent : gap.bytes_received) += item.segment.payload;
  }
  return rows;
}

}  // namespace sluice::ctl
