#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sluice::ctl {

enum class Align : unsigned char { kLeft, kRight };

/// Text in columns as wide as their widest cell, two blanks apart, no blanks at line ends.
class Table {
 public:
  struct Column {
    std::string heading;
    Align align;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells);
  /// A line of its own below the last row, indented, of no column.
  void add_note(std::string text);
  std::string text() const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::vector<std::string> notes;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

/// Indented by two, octets that are no UTF-8 replaced, with a line end.
std::string json_text(const nlohmann::ordered_json& json);

}  // namespace sluice::ctl
