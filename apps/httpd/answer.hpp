#pragma once

// What a request is answered with, as a value: its octets can be made again from it at any time, so
// that nothing of an answer need be kept while it waits for room.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http_date.hpp"

namespace httpd {

/// Statuses that this server gives, in the order in which it counts them.
inline constexpr std::array<std::uint16_t, 18> kStatuses = {
    200, 204, 206, 304, 400, 404, 405, 408, 413, 414, 416, 417, 431, 500, 501, 503, 505, 0};
/// Place of a status in kStatuses; the last for what is not there.
std::size_t status_index(std::uint16_t status);
/// "404 Not Found".
std::string_view status_line(std::uint16_t status);

struct Answer {
  std::uint16_t status = 200;
  bool keep_alive = true;
  bool is_http_1_0 = false;  ///< The client is: it has to be told that the connection stays.
  bool has_body = true;      ///< False for HEAD and 304: `length` is told, if at all, not sent.
  std::string_view fields;   ///< Header lines; what they lie in outlives the answer.
  std::span<const std::byte> body;  ///< Repeats if shorter than offset + length (the pattern).
  std::uint64_t offset = 0;         ///< Of the first octet to send.
  std::uint64_t length = 0;
  std::uint64_t total = 0;  ///< Of the whole, for 206 and 416.
  std::int64_t date = 0;    ///< Seconds since 1970.

  std::uint64_t body_octets() const { return has_body ? length : 0; }
};

/// A short text for people. `fields` of an answer with a text of its own.
inline constexpr std::string_view kTextFields = "Content-Type: text/plain; charset=utf-8\r\n";
Answer canned_answer(std::uint16_t status);

/// Octets of a head but for `fields`; with fields of 512 octets at most, kMaxHeadOctets is enough.
inline constexpr std::size_t kMaxFields = 512;
inline constexpr std::size_t kMaxHeadOctets = kMaxFields + 384;
/// Writes the head to `out`, which has room for kMaxHeadOctets; how many octets. `date` is
/// answer.date in words.
std::size_t write_head(const Answer& answer, const HttpDate& date, char* out);
/// Copies octets [from, from + out.size()) of the body, counted from answer.offset.
void copy_body(const Answer& answer, std::uint64_t from, std::span<char> out);
/// A run of the body from octet `from` on, where it lies.
std::span<const std::byte> body_run(const Answer& answer, std::uint64_t from);

}  // namespace httpd
