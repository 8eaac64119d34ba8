#pragma once

// Request heads of HTTP/1.x (RFC 9112), line by line, where they lie: nothing is copied, nothing is
// kept but offsets.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace httpd {

enum class Method : std::uint8_t {
  kGet,
  kHead,
  kPut,
  kPost,
  kOptions,
  kKnown,    ///< DELETE, PATCH, TRACE, CONNECT: known, and allowed nowhere here.
  kUnknown,  ///< Any other token.
};

/// What a server needs of a request's head. Views point into the octets that parse() was given.
class Request {
 public:
  Method method() const { return method_; }
  std::string_view target() const { return view(target_); }
  /// RFC 9112 9.3: whether the client lets the connection stay.
  bool keep_alive() const { return keep_alive_; }
  bool is_http_1_0() const { return is_http_1_0_; }
  bool expects_continue() const { return expects_continue_; }
  bool is_chunked() const { return is_chunked_; }
  std::uint64_t content_length() const { return content_length_; }
  bool has_body() const { return is_chunked_ || content_length_ > 0; }
  /// Values without blanks around them; empty if the field is missing.
  std::string_view range() const { return view(range_); }
  std::string_view if_range() const { return view(if_range_); }
  std::string_view if_none_match() const { return view(if_none_match_); }
  std::string_view if_modified_since() const { return view(if_modified_since_); }

 private:
  friend class RequestParser;
  struct Slice {
    std::uint16_t at = 0;
    std::uint16_t octets = 0;
  };
  std::string_view view(Slice slice) const { return {head_ + slice.at, slice.octets}; }

  const char* head_ = nullptr;
  std::uint64_t content_length_ = 0;
  Slice target_, range_, if_range_, if_none_match_, if_modified_since_;
  Method method_ = Method::kUnknown;
  bool keep_alive_ = true;
  bool is_http_1_0_ = false;
  bool expects_continue_ = false;
  bool is_chunked_ = false;
};

/// Strict where leniency is how requests are smuggled: a bare LF or CR, a folded line, blanks
/// before a colon, a second Content-Length or Host, Transfer-Encoding beside Content-Length are
/// errors. The result depends on the octets alone, not on the pieces in which they came (fuzzed).
class RequestParser {
 public:
  static constexpr std::size_t kMaxHead = 16384;  ///< Octets of a head; above: 431.
  /// Octets of a request line, at least 8000 by RFC 9112 3; above: 414.
  static constexpr std::size_t kMaxRequestLine = 8192;

  enum class Status : std::uint8_t {
    kMore,      ///< The head goes on.
    kComplete,  ///< request() and head_octets() stand.
    kError,     ///< error() is the status to answer with; where a next request begins is unknown.
  };

  /// `octets`: all of the connection from the request's first on. A call after kMore takes up where
  /// the last one stopped: the same octets, which may have moved, and more.
  Status parse(std::string_view octets);

  const Request& request() const { return request_; }
  std::size_t head_octets() const { return line_; }
  std::uint16_t error() const { return error_; }

 private:
  bool fail(std::uint16_t status) {
    error_ = status;
    return false;
  }
  Status parse_fields(std::string_view octets);
  /// The next whole line, without CR LF, from `line_` on; false if it is not whole or not right.
  bool next_line(std::string_view octets, std::size_t longest, std::string_view& line);
  bool take_request_line(std::string_view line);
  bool take_method(std::string_view method);
  bool take_version(std::string_view version);
  bool take_other_target(std::string_view target);
  bool take_field(std::string_view line);
  bool take_known_field(std::string_view name, std::string_view value);
  bool take_host(std::string_view value);
  bool take_content_length(std::string_view value);
  bool take_transfer_encoding(std::string_view value);
  bool take_connection(std::string_view value);
  bool take_expect(std::string_view value);
  bool end_head();
  Request::Slice slice(std::string_view part) const;

  const char* start_ = nullptr;  ///< Of the octets at hand; valid within parse() only.
  std::uint32_t line_ = 0;       ///< Where the line at hand begins; after all, the next request.
  std::uint32_t scanned_ = 0;    ///< Octets before are known to hold no end of this line.
  std::uint16_t error_ = 0;
  bool has_request_line_ = false;
  bool has_host_ = false;
  bool has_length_ = false;
  bool has_coding_ = false;
  bool asked_close_ = false;
  bool asked_keep_alive_ = false;
  Request request_;
};

}  // namespace httpd
