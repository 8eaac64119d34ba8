#include "routes.hpp"

#include <charconv>
#include <optional>

#include "syntax.hpp"

namespace httpd {
namespace {

constexpr std::string_view kBytesFields =
    "Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n";
constexpr std::string_view kAllowRead =
    "Allow: GET, HEAD, OPTIONS\r\nContent-Type: text/plain; charset=utf-8\r\n";
constexpr std::string_view kAllowSink =
    "Allow: PUT, POST, OPTIONS\r\nContent-Type: text/plain; charset=utf-8\r\n";
constexpr std::string_view kAllowAll = "Allow: GET, HEAD, PUT, POST, OPTIONS\r\n";

/// The path and query of a target in origin or absolute form (RFC 9112 3.2).
std::string_view path_and_query(std::string_view target) {
  if (target.front() == '/') return target;
  const std::size_t slash = target.find('/', std::string_view("http://").size());
  return slash == std::string_view::npos ? "/" : target.substr(slash);
}

/// Octets of a path with its %XX resolved (RFC 3986 2.1). They name an entry of a table, so that
/// neither "%2e%2e" nor "%2f" nor "%00" leads anywhere.
class DecodedPath {
 public:
  /// False if an escape is malformed, or the path longer than any that is served.
  bool decode(std::string_view path) {
    octets_ = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      if (octets_ == path_.size()) return false;
      char octet = path[i];
      if (octet == '%') {
        unsigned value = 0;
        const char* const digits = path.data() + i + 1;
        if (path.size() - i < 3) return false;
        if (std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) return false;
        octet = static_cast<char>(value);
        i += 2;
      }
      path_[octets_++] = octet;
    }
    return true;
  }
  std::string_view view() const { return {path_.data(), octets_}; }

 private:
  std::array<char, 1024> path_;
  std::size_t octets_ = 0;
};

void answer_whole(Answer& answer, std::string_view fields, std::span<const std::byte> body,
                  std::uint64_t length) {
  answer.status = 200;
  answer.fields = fields;
  answer.body = body;
  answer.offset = 0;
  answer.length = answer.total = length;
}

void answer_canned(Answer& answer, std::uint16_t status, std::string_view fields = kTextFields) {
  const Answer canned = canned_answer(status);
  answer_whole(answer, fields, canned.body, canned.length);
  answer.status = status;
}

/// A position of at most 2^62, or nullopt.
std::optional<std::uint64_t> position(std::string_view text) {
  std::uint64_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [at, error] = std::from_chars(begin, end, value);
  if (text.empty() || at != end) return std::nullopt;
  if (error != std::errc{} || value >> 62 != 0) return std::nullopt;
  return value;
}

/// Makes a whole answer one of a range of it (RFC 9110 14.2): one range. Several, other units and
/// what is malformed leave it whole, as a server may.
void apply_range(std::string_view range, Answer& answer) {
  constexpr std::string_view kUnit = "bytes=";
  if (!equals_ignoring_case(range.substr(0, kUnit.size()), kUnit)) return;
  const std::string_view spec = trimmed(range.substr(kUnit.size()));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return;
  const std::string_view from = spec.substr(0, dash), to = spec.substr(dash + 1);
  const auto first = position(from), last = position(to);
  if ((!first && !from.empty()) || (!last && !to.empty()) || (!first && !last)) return;
  if (first && last && *last < *first) return;
  const std::uint64_t total = answer.total;
  if (first ? *first >= total : *last == 0 || total == 0) {
    answer_canned(answer, 416);
    answer.total = total;
    return;
  }
  const std::uint64_t begin = first ? *first : total - std::min(total, *last);
  const std::uint64_t end = first && last ? std::min(*last, total - 1) : total - 1;
  answer.status = 206;
  answer.offset = begin;
  answer.length = end - begin + 1;
}

/// RFC 9110 13.2.2: If-None-Match first, If-Modified-Since only without it.
bool is_unchanged(const Request& request, const Resource& resource) {
  const std::string_view tags = request.if_none_match();
  // A tag holds no quote but its own, so that it is found only where it stands as one.
  if (!tags.empty()) return tags == "*" || tags.find(resource.etag) != std::string_view::npos;
  if (request.if_modified_since().empty()) return false;
  const auto since = parse_date(request.if_modified_since());
  return since && resource.last_modified <= *since;
}

/// RFC 9110 13.1.5, by strong comparison: a date serves only if it is exactly ours.
bool is_range_wanted(const Request& request, const Resource& resource) {
  if (request.if_range().empty() || request.if_range() == resource.etag) return true;
  const auto date = parse_date(request.if_range());
  return date && *date == resource.last_modified;
}

void answer_resource(const Request& request, const Resource& resource, Answer& answer) {
  if (is_unchanged(request, resource)) {
    answer_whole(answer, resource.validators, {}, 0);
    answer.status = 304;
    answer.has_body = false;
    return;
  }
  answer_whole(answer, resource.fields, resource.octets, resource.octets.size());
  //= rfc9110#14.2  a range is for GET only
  if (!request.range().empty() && request.method() == Method::kGet &&
      is_range_wanted(request, resource))
    apply_range(request.range(), answer);
}

Route answer_bytes(const Request& request, std::uint64_t count, Answer& answer) {
  answer_whole(answer, kBytesFields, pattern(), count);
  if (!request.range().empty() && request.method() == Method::kGet && request.if_range().empty())
    apply_range(request.range(), answer);
  return Route::kAnswer;
}

Route route_read(const Request& request, std::string_view path, std::string_view query,
                 const Site& site, Answer& answer) {
  if (const auto count = bytes_target(path)) return answer_bytes(request, *count, answer);
  if (!site.status_path.empty() && path == site.status_path)
    return query == "json" ? Route::kStatusJson : Route::kStatusText;
  if (const Resource* const resource = site.content->find(path))
    answer_resource(request, *resource, answer);
  else
    answer_canned(answer, 404);
  return Route::kAnswer;
}

bool is_there(std::string_view path, const Site& site) {
  return (!site.status_path.empty() && path == site.status_path) || bytes_target(path) ||
         site.content->find(path) != nullptr;
}

/// A method that is known, for a path of ours or of nobody.
Route route_path(const Request& request, std::string_view path, std::string_view query,
                 const Site& site, Answer& answer) {
  const bool reads = request.method() == Method::kGet || request.method() == Method::kHead;
  const bool writes = request.method() == Method::kPut || request.method() == Method::kPost;
  const bool is_sink = path == "/sink";
  if (reads && !is_sink) return route_read(request, path, query, site, answer);
  if (!is_sink) {
    if (is_there(path, site))
      answer_canned(answer, 405, kAllowRead);
    else
      answer_canned(answer, 404);
  } else if (!writes) {
    answer_canned(answer, 405, kAllowSink);
  } else if (request.content_length() > site.max_body) {
    answer_canned(answer, 413);
  } else {
    answer.keep_alive = request.keep_alive();
    return Route::kUpload;
  }
  return Route::kAnswer;
}

}  // namespace

Route route(const Request& request, const Site& site, Answer& answer) {
  // A body that nobody takes would be read as the next request.
  answer.keep_alive = request.keep_alive() && !request.has_body();
  answer.is_http_1_0 = request.is_http_1_0();
  answer.has_body = request.method() != Method::kHead;
  switch (request.method()) {
    case Method::kUnknown:
      answer_canned(answer, 501);
      return Route::kAnswer;
    case Method::kKnown:
      answer_canned(answer, 405, kAllowRead);
      return Route::kAnswer;
    case Method::kOptions:
      answer_whole(answer, kAllowAll, {}, 0);
      answer.status = 204;
      return Route::kAnswer;
    case Method::kGet:
    case Method::kHead:
      // Nothing but digits follows: neither query nor escape has to be looked for.
      if (const auto count = bytes_target(request.target()))
        return answer_bytes(request, *count, answer);
      break;
    case Method::kPut:
    case Method::kPost:
      break;
  }
  const std::string_view whole = path_and_query(request.target());
  const std::size_t mark = whole.find('?');
  const std::string_view path = whole.substr(0, mark);
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : whole.substr(mark + 1);
  if (path.find('%') == std::string_view::npos)
    return route_path(request, path, query, site, answer);
  DecodedPath decoded;
  if (decoded.decode(path)) return route_path(request, decoded.view(), query, site, answer);
  answer_canned(answer, 400);
  return Route::kAnswer;
}

}  // namespace httpd
