#pragma once

// What a run is to do: the program's own flags, checked.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "message.hpp"
#include "schedule.hpp"
#include "sluice/sluice.hpp"

namespace load {

enum class Mode : std::uint8_t {
  kHttp,          ///< GET after GET on connections that stay.
  kHttpClose,     ///< A connection for each GET; the server closes.
  kEcho,          ///< Octets that come back, on connections that stay.
  kConnectClose,  ///< A connection for nothing: opened and closed.
  kUpload,        ///< PUT of --size octets, again and again.
  kDownload,      ///< GET of --size octets, again and again.
};
std::string_view to_string(Mode mode);
/// Each request has a connection of its own.
constexpr bool is_per_connection(Mode mode) {
  return mode == Mode::kHttpClose || mode == Mode::kConnectClose;
}
constexpr bool is_http(Mode mode) {
  return mode != Mode::kEcho && mode != Mode::kConnectClose;
}

/// How many failed requests a good run may have.
struct ErrorLimit {
  std::uint64_t count = 0;
  double share = 0;  ///< Of all requests; the greater of both counts.

  bool holds(std::uint64_t failed, std::uint64_t requests) const {
    return failed <= count || static_cast<double>(failed) <= share * static_cast<double>(requests);
  }
};

struct Options {
  sluice::Endpoint target;
  Mode mode = Mode::kHttp;
  std::string path;
  std::uint64_t size = 0;          ///< Octets: of an echo, an upload, a download.
  std::uint32_t connections = 64;  ///< Of all workers: kept, or at most open at once.
  std::uint32_t pipeline = 1;      ///< Requests under way on one connection.
  std::uint32_t hold = 0;          ///< Idle connections beside them.
  std::vector<Phase> phases;
  bool is_open_loop = false;
  Spacing spacing = Spacing::kEven;
  sluice::Duration timeout;
  sluice::Duration setup_timeout;
  sluice::Duration expected_interval;  ///< Of a closed loop; zero: no correction.
  sluice::Duration interval;           ///< Between lines of progress.
  ErrorLimit max_errors;
  std::uint64_t seed = 1;
  std::string json_file;
  std::string csv_file;
  bool is_quiet = false;

  Message message() const;
  /// "http to 10.0.0.2:80, GET /bytes/64, 64 connections, pipeline 4, closed loop"
  std::string summary() const;
};

/// For ProgramInfo.
std::vector<sluice::ProgramOption> program_options();
std::string help_notes();

/// `text` gives the value of a flag by its name. Throws SetupError with exit code 2: flag, what is
/// wrong, the mend.
Options parse_options(const std::function<const std::string&(const std::string&)>& text);

/// "64", "10k", "1.5M", "2G": decimal multiples.
double parse_amount(const std::string& flag, std::string_view text);
/// "10s", "500ms", "100us", "2m", "1h", "0.5s".
sluice::Duration parse_time(const std::string& flag, std::string_view text);

}  // namespace load
