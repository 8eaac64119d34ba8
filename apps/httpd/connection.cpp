#include "connection.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace httpd {
namespace {

constexpr sluice::Duration kLinger = sluice::Duration::from_s(2);

std::string_view reason(std::uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

/// The path of a target in origin or absolute form (RFC 9112 3.2), without the query.
std::string_view path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    const std::size_t slash = target.find('/', kScheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace

void Connection::on_data(sluice::Stream stream, sluice::RxData& data) {
  while (!data.empty() && state_ != State::kAnswering) {
    if (state_ == State::kLingering)
      data.consume(data.size());
    else if (state_ == State::kHead)
      take_head(stream, data);
    else
      take_body(stream, data);
    if (state_ == State::kAnswering) pump(stream);
  }
}

void Connection::on_writable(sluice::Stream stream) {
  if (state_ != State::kAnswering) return;
  pump(stream);
  // Requests that waited unread are offered again.
  if (state_ == State::kHead) static_cast<void>(stream.resume_reading());
}

void Connection::on_peer_closed(sluice::Stream stream) {
  peer_closed_ = true;
  // An answer under way is still wanted: the peer has closed only its own direction.
  if (state_ != State::kAnswering) stream.close();
}

void Connection::take_head(sluice::Stream stream, sluice::RxData& data) {
  std::size_t taken = 0;
  const HttpParser::Status status = parser_.feed(data.front(), taken);
  data.consume(taken);
  switch (status) {
    case HttpParser::Status::kMore:
      return;
    case HttpParser::Status::kComplete:
      dispatch(stream, parser_.request());
      return;
    case HttpParser::Status::kError:
      // Where the next request would begin is unknown: answer and close.
      keep_alive_ = false;
      is_head_only_ = false;
      answer_text(parser_.error(), reason(parser_.error()));
      return;
  }
}

void Connection::dispatch(sluice::Stream stream, const Request& request) {
  keep_alive_ = request.keep_alive;
  is_head_only_ = request.method == Method::kHead;
  const std::string_view target = path_of(request.target);
  const bool is_sink = target == "/sink";
  const bool sends_body = request.method == Method::kPut || request.method == Method::kPost;
  // A body that nobody takes would be read as the next request.
  if (request.content_length > 0 && !(is_sink && sends_body)) keep_alive_ = false;

  if (request.method == Method::kOther) return answer_text(501, reason(501));
  const Resource* const resource = content_->find(target);
  const auto count = bytes_target(target);
  if (resource == nullptr && !count && !is_sink) return answer_text(404, reason(404));
  if (is_sink != sends_body) {
    allowed_ = is_sink ? "Allow: PUT, POST\r\n" : "Allow: GET, HEAD\r\n";
    answer_text(405, reason(405));
    return;
  }
  if (is_sink) {
    begin_sink(request);
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // Answers before this one are sent, so there is room; if not, the client goes on by itself.
    if (request.expects_continue) static_cast<void>(stream.send(kContinue));
    return;
  }
  body_ = count ? pattern() : std::span<const std::byte>(resource->octets);
  answer(200, count ? "application/octet-stream" : std::string_view(resource->content_type),
         count ? *count : resource->octets.size());
}

void Connection::begin_sink(const Request& request) {
  sink_expected_ = request.content_length;
  sink_received_ = 0;
  crypto_hash_sha256_init(&hash_);
  state_ = State::kSink;
  if (sink_expected_ == 0) end_sink();
}

void Connection::take_body(sluice::Stream, sluice::RxData& data) {
  const std::span<const std::byte> run = data.front();
  const std::uint64_t length = std::min<std::uint64_t>(run.size(), sink_expected_ - sink_received_);
  crypto_hash_sha256_update(&hash_, reinterpret_cast<const unsigned char*>(run.data()), length);
  data.consume(length);
  sink_received_ += length;
  if (sink_received_ == sink_expected_) end_sink();
}

void Connection::end_sink() {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest;
  crypto_hash_sha256_final(&hash_, digest.data());
  char hex[2 * crypto_hash_sha256_BYTES + 1];
  sodium_bin2hex(hex, sizeof hex, digest.data(), digest.size());
  std::array<char, 120> line;
  const auto end = fmt::format_to_n(line.data(), line.size(), "{} {}", sink_received_, hex);
  answer_text(200, {line.data(), end.size});
}

void Connection::answer_text(std::uint16_t status, std::string_view text) {
  const auto end = fmt::format_to_n(text_.data(), text_.size(), "{}\n", text);
  body_ = std::as_bytes(std::span(text_.data(), std::min(end.size, text_.size())));
  answer(status, "text/plain; charset=utf-8", body_.size());
}

void Connection::answer(std::uint16_t status, std::string_view content_type, std::uint64_t length) {
  const auto end = fmt::format_to_n(
      head_.data(), head_.size(),
      "HTTP/1.1 {} {}\r\nServer: sluice\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n",
      status, reason(status), content_type, length, allowed_,
      keep_alive_ ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
  allowed_ = {};
  head_octets_ = static_cast<std::uint16_t>(std::min(end.size, head_.size()));
  head_sent_ = 0;
  body_octets_ = is_head_only_ ? 0 : length;
  body_sent_ = 0;
  state_ = State::kAnswering;
}

void Connection::pump(sluice::Stream stream) {
  if (pump_head(stream) && pump_body(stream)) finish(stream);
}

bool Connection::pump_head(sluice::Stream stream) {
  if (head_sent_ == head_octets_) return true;
  const auto sent = stream.send(std::string_view(
      head_.data() + head_sent_, static_cast<std::size_t>(head_octets_ - head_sent_)));
  if (!sent) return false;
  head_sent_ = static_cast<std::uint16_t>(head_sent_ + *sent);
  return head_sent_ == head_octets_;
}

bool Connection::pump_body(sluice::Stream stream) {
  while (body_sent_ < body_octets_) {
    const std::size_t offset = body_sent_ % body_.size();
    const auto piece = body_.subspan(
        offset, std::min<std::uint64_t>(body_.size() - offset, body_octets_ - body_sent_));
    const auto sent = stream.send(piece);
    if (!sent) return false;
    body_sent_ += *sent;
    if (*sent < piece.size()) return false;
  }
  return true;
}

void Connection::finish(sluice::Stream stream) {
  if (peer_closed_) {
    state_ = State::kLingering;
    stream.close();
  } else if (!keep_alive_) {
    // close() with octets still coming in would be a RST, which can take the answer away from the
    // client (RFC 9112 9.6): close our direction, and wait a little for the client's.
    state_ = State::kLingering;
    static_cast<void>(stream.shutdown());
    static_cast<void>(stream.set_timer(kLinger));
  } else {
    parser_.reset();
    state_ = State::kHead;
  }
}

}  // namespace httpd
