#pragma once

// What is asked for, and what it is answered with, but for what is made at the time: uploads and
// the status page.

#include <cstdint>
#include <string>

#include "answer.hpp"
#include "content.hpp"
#include "request_parser.hpp"

namespace httpd {

/// What all workers answer from.
struct Site {
  const Content* content = nullptr;
  std::string status_path = "/status";  ///< Empty: there is none.
  std::uint64_t max_body = std::uint64_t{1} << 40;
};

enum class Route : std::uint8_t {
  kAnswer,      ///< `answer` stands.
  kUpload,      ///< The body that follows goes to /sink.
  kStatusText,  ///< The status page; `answer` lacks its body.
  kStatusJson,
};

/// Finds what `request` is answered with. answer.keep_alive says whether the connection stays after
/// it, a body that nobody takes being a reason not to.
Route route(const Request& request, const Site& site, Answer& answer);

}  // namespace httpd
