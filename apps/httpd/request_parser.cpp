#include "request_parser.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "syntax.hpp"

namespace httpd {
namespace {

/// `name` has the length of `lower_case`, and only token octets: there, setting a bit makes nothing
/// but capitals into small letters that a field's name is spelt with.
template <std::size_t kLength>
bool is_name(std::string_view name, const char (&lower_case)[kLength]) {
  for (std::size_t i = 0; i + 1 < kLength; ++i)
    if ((name[i] | 0x20) != lower_case[i]) return false;
  return true;
}

bool is_digit(char octet) {
  return octet >= '0' && octet <= '9';
}

}  // namespace

Request::Slice RequestParser::slice(std::string_view part) const {
  return {static_cast<std::uint16_t>(part.data() - start_),
          static_cast<std::uint16_t>(part.size())};
}

RequestParser::Status RequestParser::parse(std::string_view octets) {
  if (error_ != 0) return Status::kError;
  octets = octets.substr(0, kMaxHead);
  start_ = octets.data();
  if (!has_request_line_) {
    //= rfc9112#2.2  empty lines before a request line are ignored
    while (octets.substr(line_).starts_with("\r\n")) scanned_ = line_ += 2;
    std::string_view line;
    if (!next_line(octets, kMaxRequestLine, line) || !take_request_line(line))
      return error_ != 0 ? Status::kError : Status::kMore;
    has_request_line_ = true;
  }
  return parse_fields(octets);
}

RequestParser::Status RequestParser::parse_fields(std::string_view octets) {
  for (;;) {
    if (octets.substr(line_).starts_with("\r\n")) {
      line_ += 2;
      if (!end_head()) return Status::kError;
      request_.head_ = start_;
      return Status::kComplete;
    }
    std::string_view line;
    if (!next_line(octets, kMaxHead, line) || !take_field(line))
      return error_ != 0 ? Status::kError : Status::kMore;
  }
}

bool RequestParser::next_line(std::string_view octets, std::size_t longest,
                              std::string_view& line) {
  const char* const begin = octets.data() + line_;
  const char* const end = octets.data() + octets.size();
  const char* const limit = begin + std::min(longest, octets.size() - line_);
  const char* const found = find_control(octets.data() + scanned_, limit);
  scanned_ = static_cast<std::uint32_t>(found - octets.data());
  if (found == limit && limit != end) return fail(414);
  if (found == limit || (*found == '\r' && found + 1 == end))
    return octets.size() == kMaxHead ? fail(431) : false;
  // A bare CR or LF may end the line for others on the way, so it must not be one here.
  if (found[0] != '\r' || found[1] != '\n') return fail(400);
  line = {begin, static_cast<std::size_t>(found - begin)};
  line_ = scanned_ = static_cast<std::uint32_t>(found + 2 - octets.data());
  return true;
}

bool RequestParser::take_request_line(std::string_view line) {
  constexpr std::size_t kVersion = 8;  // HTTP/1.1
  const bool is_get = line.starts_with("GET ");
  const std::size_t space = is_get ? 3 : line.find(' ');
  if (space == std::string_view::npos || line.size() < space + 2 + kVersion + 1) return fail(400);
  const std::string_view version = line.substr(line.size() - kVersion);
  const std::string_view target = line.substr(space + 1, line.size() - space - 1 - kVersion - 1);
  const char* const target_end = target.data() + target.size();
  // Looked for up to the line's end, not the target's: a longer run is compared in fewer steps.
  if (*target_end != ' ' ||
      find_target_end(&line[space + 1], line.data() + line.size()) != target_end)
    return fail(400);
  request_.target_ = slice(target);
  if (is_get)
    request_.method_ = Method::kGet;
  else if (!take_method(line.substr(0, space)))
    return false;
  return take_version(version) && (target.front() == '/' || take_other_target(target));
}

/// RFC 9112 3.2: which forms go with which methods.
bool RequestParser::take_other_target(std::string_view target) {
  if (equals_ignoring_case(target.substr(0, 7), "http://")) return true;
  if (target == "*" && request_.method_ == Method::kOptions) return true;
  // An authority: CONNECT's, which is refused for what it is.
  return request_.method_ == Method::kKnown ? true : fail(400);
}

bool RequestParser::take_method(std::string_view method) {
  constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"HEAD", Method::kHead},       {"PUT", Method::kPut},      {"POST", Method::kPost},
      {"OPTIONS", Method::kOptions}, {"DELETE", Method::kKnown}, {"PATCH", Method::kKnown},
      {"TRACE", Method::kKnown},     {"CONNECT", Method::kKnown}};
  for (const auto& [name, known] : kMethods)
    if (name == method) request_.method_ = known;
  const auto is_token = [](char octet) { return is_octet(octet, kTokenOctet); };
  return !method.empty() && std::all_of(method.begin(), method.end(), is_token) ? true : fail(400);
}

bool RequestParser::take_version(std::string_view version) {
  if (version == "HTTP/1.1") return true;
  if (!version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7]))
    return fail(400);
  if (version[5] != '1') return fail(505);
  request_.is_http_1_0_ = version[7] == '0';
  return true;
}

bool RequestParser::take_field(std::string_view line) {
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end && is_octet(*at, kTokenOctet)) ++at;
  //= rfc9112#5.1  no blank before the colon
  //= rfc9112#5.2  no folded line: it begins with a blank, which is no name
  if (at == end || *at != ':' || at == line.data()) return fail(400);
  const auto octets = static_cast<std::size_t>(at - line.data());
  return take_known_field(line.substr(0, octets), line.substr(octets + 1));
}

bool RequestParser::take_known_field(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (is_name(name, "host")) return take_host(trimmed(value));
      break;
    case 5:
      if (is_name(name, "range")) request_.range_ = slice(trimmed(value));
      break;
    case 6:
      if (is_name(name, "expect")) return take_expect(trimmed(value));
      break;
    case 8:
      if (is_name(name, "if-range")) request_.if_range_ = slice(trimmed(value));
      break;
    case 10:
      if (is_name(name, "connection")) return take_connection(value);
      break;
    case 13:
      if (is_name(name, "if-none-match")) request_.if_none_match_ = slice(trimmed(value));
      break;
    case 14:
      if (is_name(name, "content-length")) return take_content_length(trimmed(value));
      break;
    case 17:
      if (is_name(name, "transfer-encoding")) return take_transfer_encoding(trimmed(value));
      if (is_name(name, "if-modified-since")) request_.if_modified_since_ = slice(trimmed(value));
      break;
    default:
      break;
  }
  return true;
}

bool RequestParser::take_host(std::string_view value) {
  //= rfc9112#3.2  a second Host, or one that cannot be one, is an error
  const auto is_host = [](char octet) { return is_octet(octet, kHostOctet); };
  if (has_host_ || !std::all_of(value.begin(), value.end(), is_host)) return fail(400);
  has_host_ = true;
  return true;
}

bool RequestParser::take_content_length(std::string_view value) {
  std::uint64_t length = 0;
  const char* const begin = value.data();
  const char* const end = begin + value.size();
  const auto [at, error] = std::from_chars(begin, end, length);
  // A second one is refused even if equal: it has no honest source (RFC 9112 6.3 allows both).
  if (has_length_ || value.empty() || error != std::errc{} || at != end) return fail(400);
  has_length_ = true;
  request_.content_length_ = length;
  return true;
}

bool RequestParser::take_transfer_encoding(std::string_view value) {
  if (has_coding_) return fail(400);
  has_coding_ = true;
  if (equals_ignoring_case(value, "chunked")) {
    request_.is_chunked_ = true;
    return true;
  }
  //= rfc9112#6.1  a coding that is not understood: 501; a last one that is not chunked
  // leaves the length unknown: 400 (6.3)
  const std::size_t comma = value.rfind(',');
  if (comma == std::string_view::npos) return fail(400);
  const std::string_view before = value.substr(0, comma);
  const bool is_twice =
      equals_ignoring_case(trimmed(before.substr(before.rfind(',') + 1)), "chunked");
  const bool is_last = equals_ignoring_case(trimmed(value.substr(comma + 1)), "chunked");
  return fail(is_last && !is_twice ? 501 : 400);
}

bool RequestParser::take_connection(std::string_view value) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = trimmed(value.substr(0, comma));
    asked_close_ |= equals_ignoring_case(option, "close");
    asked_keep_alive_ |= equals_ignoring_case(option, "keep-alive");
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return true;
}

bool RequestParser::take_expect(std::string_view value) {
  if (!equals_ignoring_case(value, "100-continue")) return fail(417);
  request_.expects_continue_ = true;
  return true;
}

bool RequestParser::end_head() {
  //= rfc9112#3.2
  if (!request_.is_http_1_0_ && !has_host_) return fail(400);
  // Two lengths, or a coding that HTTP/1.0 does not have: others may have read it otherwise (6.1).
  if (has_coding_ && (has_length_ || request_.is_http_1_0_)) return fail(400);
  //= rfc9112#9.3
  request_.keep_alive_ = !asked_close_ && (!request_.is_http_1_0_ || asked_keep_alive_);
  //= rfc9110#10.1.1  of an HTTP/1.0 client the expectation is ignored
  request_.expects_continue_ &= !request_.is_http_1_0_;
  return true;
}

}  // namespace httpd
