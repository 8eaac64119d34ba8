#pragma once

// Request heads of HTTP/1.1 (RFC 9112), octet by octet, in a fixed amount of memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace httpd {

enum class Method : std::uint8_t { kGet, kHead, kPut, kPost, kOther };

/// What a server needs of a request's head. `target` points into the parser.
struct Request {
  Method method = Method::kOther;
  std::string_view target;
  bool keep_alive = true;
  bool expects_continue = false;
  std::uint64_t content_length = 0;
};

/// Feed it octets in any pieces. Keeps the method, target and the few fields that matter; the rest
/// only counts against kMaxHead.
class HttpParser {
 public:
  static constexpr std::size_t kMaxHead = 16384;  ///< Octets of a head; above: 431.
  static constexpr std::size_t kMaxTarget = 512;  ///< Octets of a target; above: 414.

  enum class Status : std::uint8_t {
    kMore,      ///< All octets were taken; the head goes on.
    kComplete,  ///< request() stands; octets after the head were not taken.
    kError,     ///< error() is the status to answer with; the connection cannot go on.
  };

  /// Takes octets up to the end of the head; `taken` says how many.
  Status feed(std::span<const std::byte> octets, std::size_t& taken);
  /// Valid after kComplete, until reset().
  const Request& request() const { return request_; }
  std::uint16_t error() const { return error_; }
  /// No octet of a request has come yet.
  bool is_at_start() const { return head_octets_ == 0; }
  void reset() { *this = HttpParser(); }

  HttpParser() = default;
  HttpParser(const HttpParser&) = delete;

 private:
  HttpParser& operator=(const HttpParser&) = default;  // of a fresh one: see reset()

  enum class State : std::uint8_t {
    kStart,
    kMethod,
    kTarget,
    kVersion,
    kLineStart,
    kName,
    kValueStart,
    kValue,
    kLineFeed,
    kEnd,
  };

  /// One octet; false once the parser stands in an error.
  bool step(char octet);
  bool step_request_line(char octet);
  bool step_field(char octet);
  bool fail(std::uint16_t status);
  bool end_method();
  bool end_version();
  bool end_field();
  bool end_head();
  bool take_content_length(std::string_view value);
  bool take_connection(std::string_view value);

  State state_ = State::kStart;
  bool saw_host_ = false;
  bool saw_length_ = false;
  bool is_http_1_0_ = false;
  bool asked_close_ = false;
  bool asked_keep_alive_ = false;
  bool value_cut_ = false;  ///< The value is longer than value_.
  std::uint16_t error_ = 0;
  std::uint32_t head_octets_ = 0;
  std::uint16_t target_octets_ = 0;
  std::uint8_t word_octets_ = 0;
  std::uint8_t value_octets_ = 0;
  std::array<char, kMaxTarget> target_;
  std::array<char, 24> word_;  ///< Method, version or lower-cased field name.
  std::array<char, 64> value_;
  Request request_;
};

}  // namespace httpd
