#include "apps/ctl/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::ctl {

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), {}});
}

void Table::add_note(std::string text) {
  if (!rows_.empty()) rows_.back().notes.push_back(std::move(text));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_[i].heading.size();
    for (const Row& row : rows_) width = std::max(width, row.cells[i].size());
    widths.push_back(width);
  }
  std::string out;
  const auto put_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i != 0) line += "  ";
      const std::string& cell = cell_of(i);
      line += columns_[i].align == Align::kRight ? fmt::format("{:>{}}", cell, widths[i])
                                                 : fmt::format("{:<{}}", cell, widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  put_line([this](std::size_t i) -> const std::string& { return columns_[i].heading; });
  for (const Row& row : rows_) {
    put_line([&row](std::size_t i) -> const std::string& { return row.cells[i]; });
    for (const std::string& note : row.notes) out += "      " + note + "\n";
  }
  return out;
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sluice::ctl
