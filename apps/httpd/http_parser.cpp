#include "http_parser.hpp"

#include <algorithm>
#include <charconv>

namespace httpd {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// RFC 9110 5.6.2 tchar.
bool is_token_char(char c) {
  const char l = lower(c);
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
/// Octets of a field value: visible, blanks, and obs-text.
bool is_value_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x20 ? u != 0x7f : c == '\t';
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

HttpParser::Status HttpParser::feed(std::span<const std::byte> octets, std::size_t& taken) {
  taken = 0;
  if (error_ != 0) return Status::kError;
  for (const std::byte octet : octets) {
    ++taken;
    if (++head_octets_ > kMaxHead) {
      fail(431);
      return Status::kError;
    }
    if (!step(static_cast<char>(octet))) return Status::kError;
    if (state_ == State::kEnd) return Status::kComplete;
  }
  return Status::kMore;
}

bool HttpParser::fail(std::uint16_t status) {
  error_ = status;
  return false;
}

bool HttpParser::step(char octet) {
  switch (state_) {
    case State::kStart:
    case State::kMethod:
    case State::kTarget:
    case State::kVersion:
      return step_request_line(octet);
    case State::kLineStart:
    case State::kName:
    case State::kValueStart:
    case State::kValue:
    case State::kLineFeed:
    case State::kEnd:
      return step_field(octet);
  }
  return fail(400);
}

bool HttpParser::step_request_line(char octet) {
  switch (state_) {
    case State::kStart:
      // RFC 9112 2.2: empty lines before a request line are ignored.
      if (octet == '\r' || octet == '\n') {
        head_octets_ = 0;
        return true;
      }
      state_ = State::kMethod;
      [[fallthrough]];
    case State::kMethod:
      if (octet == ' ') return end_method();
      if (!is_token_char(octet)) return fail(400);
      if (word_octets_ == word_.size()) return fail(501);
      word_[word_octets_++] = octet;
      return true;
    case State::kTarget:
      if (octet == ' ') {
        if (target_octets_ == 0) return fail(400);
        state_ = State::kVersion;
        word_octets_ = 0;
        return true;
      }
      if (octet <= ' ' || octet == 0x7f) return fail(400);
      if (target_octets_ == target_.size()) return fail(414);
      target_[target_octets_++] = octet;
      return true;
    case State::kVersion:
      if (octet == '\n') return end_version();
      if (word_octets_ == word_.size()) return fail(400);
      word_[word_octets_++] = octet;
      return true;
    default:
      return fail(400);
  }
}

bool HttpParser::step_field(char octet) {
  switch (state_) {
    case State::kLineStart:
      if (octet == '\r') {
        state_ = State::kLineFeed;
        word_octets_ = 0;
        return true;
      }
      if (octet == '\n') return end_head();
      // A blank here is a folded line, which RFC 9112 5.2 has a server refuse.
      word_octets_ = 0;
      value_octets_ = 0;
      value_cut_ = false;
      state_ = State::kName;
      [[fallthrough]];
    case State::kName:
      if (octet == ':') {
        if (word_octets_ == 0) return fail(400);
        state_ = State::kValueStart;
        return true;
      }
      if (!is_token_char(octet)) return fail(400);
      // A longer name is none that matters here; its last place marks that.
      if (word_octets_ < word_.size()) word_[word_octets_++] = lower(octet);
      return true;
    case State::kValueStart:
      if (is_blank(octet)) return true;
      state_ = State::kValue;
      [[fallthrough]];
    case State::kValue:
      if (octet == '\n') return end_field();
      if (octet == '\r') {
        state_ = State::kLineFeed;
        return true;
      }
      if (!is_value_char(octet)) return fail(400);
      if (value_octets_ < value_.size())
        value_[value_octets_++] = octet;
      else
        value_cut_ = true;
      return true;
    case State::kLineFeed:
      if (octet != '\n') return fail(400);
      return word_octets_ == 0 ? end_head() : end_field();
    default:
      return fail(400);
  }
}

bool HttpParser::end_method() {
  const std::string_view name(word_.data(), word_octets_);
  constexpr std::pair<std::string_view, Method> kMethods[] = {{"GET", Method::kGet},
                                                              {"HEAD", Method::kHead},
                                                              {"PUT", Method::kPut},
                                                              {"POST", Method::kPost}};
  for (const auto& [known, method] : kMethods)
    if (known == name) request_.method = method;
  state_ = State::kTarget;
  return true;
}

bool HttpParser::end_version() {
  std::string_view version(word_.data(), word_octets_);
  if (version.ends_with('\r')) version.remove_suffix(1);
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.') return fail(400);
  if (version[5] != '1') return fail(505);
  if (version[7] < '0' || version[7] > '9') return fail(400);
  is_http_1_0_ = version[7] == '0';
  state_ = State::kLineStart;
  return true;
}

bool HttpParser::end_field() {
  state_ = State::kLineStart;
  const std::string_view name(word_.data(), word_octets_);
  const std::string_view value = trimmed({value_.data(), value_octets_});
  if (name == "host") {
    // RFC 9112 3.2: a second Host is an error.
    if (saw_host_) return fail(400);
    saw_host_ = true;
  } else if (name == "content-length") {
    return take_content_length(value);
  } else if (name == "connection") {
    return take_connection(value);
  } else if (name == "transfer-encoding") {
    return fail(501);
  } else if (name == "expect") {
    if (!equals_ignoring_case(value, "100-continue")) return fail(417);
    request_.expects_continue = true;
  }
  return true;
}

bool HttpParser::take_content_length(std::string_view value) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  const bool is_number = error == std::errc{} && end == value.data() + value.size();
  // Two that differ are how requests are smuggled: RFC 9112 6.3.
  if (value_cut_ || !is_number || (saw_length_ && length != request_.content_length))
    return fail(400);
  saw_length_ = true;
  request_.content_length = length;
  return true;
}

bool HttpParser::take_connection(std::string_view value) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = trimmed(value.substr(0, comma));
    asked_close_ |= equals_ignoring_case(option, "close");
    asked_keep_alive_ |= equals_ignoring_case(option, "keep-alive");
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return true;
}

bool HttpParser::end_head() {
  if (!is_http_1_0_ && !saw_host_) return fail(400);
  request_.target = {target_.data(), target_octets_};
  request_.keep_alive = !asked_close_ && (!is_http_1_0_ || asked_keep_alive_);
  request_.expects_continue &= !is_http_1_0_;
  state_ = State::kEnd;
  return true;
}

}  // namespace httpd
