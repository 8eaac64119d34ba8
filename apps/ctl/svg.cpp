#include "apps/ctl/svg.hpp"

#include <fmt/format.h>

#include <cmath>

namespace sluice::ctl {
namespace {

std::string escaped(std::string_view words) {
  std::string text;
  for (const char c : words) {
    switch (c) {
      case '&':
        text += "&amp;";
        break;
      case '<':
        text += "&lt;";
        break;
      case '>':
        text += "&gt;";
        break;
      case '"':
        text += "&quot;";
        break;
      default:
        text += c;
    }
  }
  return text;
}

std::string dashes_of(std::string_view dashes) {
  return dashes.empty() ? std::string() : fmt::format(" stroke-dasharray=\"{}\"", dashes);
}

}  // namespace

void Svg::text(Point at, std::string_view words, const TextStyle& style) {
  body_ += fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{:.1f}\" fill=\"{}\" "
      "text-anchor=\"{}\"{}{}{}>{}</text>\n",
      at.x, at.y, style.size, style.colour, style.anchor,
      style.is_bold ? " font-weight=\"bold\"" : "", style.is_italic ? " font-style=\"italic\"" : "",
      style.is_mono ? " font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\"" : "",
      escaped(words));
}

void Svg::line(Point from, Point to, const LineStyle& style) {
  body_ += fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
      "stroke-width=\"{:.1f}\"{}/>\n",
      from.x, from.y, to.x, to.y, style.colour, style.width, dashes_of(style.dashes));
}

void Svg::box(Point corner, Point extent, const BoxStyle& style) {
  body_ += fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{:.1f}\" "
      "fill=\"{}\" "
      "stroke=\"{}\"{}/>\n",
      corner.x, corner.y, extent.x, extent.y, style.radius, style.fill, style.stroke,
      dashes_of(style.dashes));
}

void Svg::circle(Point centre, double radius, const BoxStyle& style) {
  body_ += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" stroke=\"{}\" "
      "stroke-width=\"1.3\"/>\n",
      centre.x, centre.y, radius, style.fill, style.stroke);
}

void Svg::arrow_head(Point from, Point to, std::string_view colour) {
  constexpr double kLength = 11, kHalfWidth = 4.5;
  const double length = std::hypot(to.x - from.x, to.y - from.y);
  if (length <= 0) return;
  const double ux = (to.x - from.x) / length, uy = (to.y - from.y) / length;
  const Point base{to.x - kLength * ux, to.y - kLength * uy};
  body_ +=
      fmt::format("<polygon points=\"{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}\" fill=\"{}\"/>\n",
                  to.x, to.y, base.x - kHalfWidth * uy, base.y + kHalfWidth * ux,
                  base.x + kHalfWidth * uy, base.y - kHalfWidth * ux, colour);
}

std::string Svg::file(Point extent, std::string_view title) const {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" xml:space=\"preserve\" font-family=\"'DejaVu Sans', "
      "Verdana, Helvetica, Arial, "
      "sans-serif\">\n<title>{2}</title>\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n{3}</svg>\n",
      extent.x, extent.y, escaped(title), body_);
}

}  // namespace sluice::ctl
