#pragma once

#include <string>
#include <string_view>

namespace sluice::ctl {

/// A point of the drawing, in pixels from its upper left corner.
struct Point {
  double x = 0;
  double y = 0;
};

/// How a text is set.
struct TextStyle {
  double size = 12;
  std::string_view colour = "#263238";
  std::string_view anchor = "start";  ///< start, middle, end
  bool is_bold = false;
  bool is_mono = false;
  bool is_italic = false;
};

struct LineStyle {
  std::string_view colour = "#263238";
  double width = 1;
  std::string_view dashes = {};  ///< "4 3"; empty: solid.
};

struct BoxStyle {
  std::string_view fill = "none";
  std::string_view stroke = "none";
  double radius = 0;
  std::string_view dashes = {};
};

/// Collects the elements of a drawing. Texts are escaped; coordinates have one decimal.
class Svg {
 public:
  void text(Point at, std::string_view words, const TextStyle& style);
  void line(Point from, Point to, const LineStyle& style);
  void box(Point corner, Point extent, const BoxStyle& style);
  void circle(Point centre, double radius, const BoxStyle& style);
  /// A filled arrow head at the end of the line `from` -> `to`.
  void arrow_head(Point from, Point to, std::string_view colour);

  /// The finished file.
  std::string file(Point extent, std::string_view title) const;

 private:
  std::string body_;
};

}  // namespace sluice::ctl
