#include "response_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace load {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
  return text.size() == lower_case.size() &&
         std::equal(text.begin(), text.end(), lower_case.begin(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view text_of(std::span<const std::byte> octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

/// Calls visit(option) for each of a comma-separated list.
template <class Visitor>
void for_each_option(std::string_view list, Visitor&& visit) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    visit(trimmed(list.substr(0, comma)));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

}  // namespace

bool HeadMemory::recalls(std::span<const std::byte> octets, ResponseHead& head,
                         std::size_t& size) const {
  if (size_ == 0 || octets.size() < size_) return false;
  if (std::memcmp(octets.data(), octets_.data(), size_) != 0) return false;
  head = head_;
  size = size_;
  return true;
}

void HeadMemory::remember(std::span<const std::byte> octets, const ResponseHead& head) {
  if (octets.size() > octets_.size()) return;
  std::copy(octets.begin(), octets.end(), octets_.begin());
  size_ = octets.size();
  head_ = head;
}

ResponseReader::Status ResponseReader::feed(std::span<const std::byte> octets, std::size_t& taken,
                                            HeadMemory& memory) {
  taken = 0;
  for (;;) {
    std::size_t piece = 0;
    const auto rest = octets.subspan(taken);
    Status status = Status::kMore;
    switch (state_) {
      case State::kHead:
        status = feed_head(rest, piece, memory);
        break;
      case State::kBody:
        status = feed_body(rest, piece);
        break;
      case State::kChunkSize:
      case State::kChunk:
      case State::kChunkEnd:
      case State::kTrailer:
        status = feed_chunked(rest, piece);
        break;
    }
    taken += piece;
    // A head may be followed by its body in the same octets.
    if (status != Status::kMore || taken == octets.size()) return status;
  }
}

bool ResponseReader::may_end_here() const {
  return is_at_start() || (state_ == State::kBody && left_ == kNoEnd);
}

ResponseReader::Status ResponseReader::feed_head(std::span<const std::byte> octets,
                                                 std::size_t& taken, HeadMemory& memory) {
  const bool is_whole = is_at_start();
  if (is_whole) {
    if (memory.recalls(octets, head_, taken)) return end_head();
    head_ = {};
  }
  while (taken < octets.size()) {
    std::size_t piece = 0;
    std::string_view line;
    const bool is_line = take_line(octets.subspan(taken), piece, line);
    taken += piece;
    head_octets_ += static_cast<std::uint32_t>(piece);
    if (head_octets_ > kMaxHead) return Status::kError;
    if (!is_line) return Status::kMore;
    if (!line.empty()) {
      // What is cut off cannot be a field that matters here, only a status line.
      if (!(is_line_cut_ && has_status_line_) && !read_line(line)) return Status::kError;
      is_line_cut_ = false;
      continue;
    }
    if (!has_status_line_) return Status::kError;
    conclude_head();
    if (is_whole) memory.remember(octets.first(taken), head_);
    return end_head();
  }
  return Status::kMore;
}

/// RFC 9112 6.3: what the fields say together.
void ResponseReader::conclude_head() {
  if (head_.status < 200 || head_.status == 204 || head_.status == 304) {
    head_.body = ResponseHead::Body::kLength;
    head_.length = 0;
  }
  head_.closes |= head_.body == ResponseHead::Body::kUntilClose || (is_http_1_0_ && !stays_open_);
}

bool ResponseReader::take_line(std::span<const std::byte> octets, std::size_t& taken,
                               std::string_view& line) {
  const std::string_view text = text_of(octets);
  const std::size_t end = text.find('\n');
  const std::string_view piece = text.substr(0, end);
  taken = end == std::string_view::npos ? text.size() : end + 1;
  if (end != std::string_view::npos && line_octets_ == 0 && !is_line_cut_) {
    line = piece;
  } else {
    const std::size_t room = line_.size() - line_octets_;
    const std::size_t copied = std::min(piece.size(), room);
    std::copy_n(piece.begin(), copied, line_.begin() + line_octets_);
    line_octets_ = static_cast<std::uint16_t>(line_octets_ + copied);
    is_line_cut_ |= copied < piece.size();
    if (end == std::string_view::npos) return false;
    line = {line_.data(), line_octets_};
    line_octets_ = 0;
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

bool ResponseReader::read_line(std::string_view line) {
  if (has_status_line_) return read_field(line);
  has_status_line_ = true;
  return read_status_line(line);
}

/// "HTTP/1.1 200 OK"
bool ResponseReader::read_status_line(std::string_view line) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[8] != ' ') return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  is_http_1_0_ = line[7] == '0';
  const char* const code = line.data() + 9;
  const auto [end, error] = std::from_chars(code, code + 3, head_.status);
  return error == std::errc{} && end == code + 3 && head_.status >= 100;
}

bool ResponseReader::read_field(std::string_view line) {
  if (line[0] == ' ' || line[0] == '\t') return true;  // a folded line belongs to none that matters
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  // By length first: nearly every field is one that does not matter.
  if (name.size() != 14 && name.size() != 10 && name.size() != 17) return true;
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (equals_ignoring_case(name, "content-length")) {
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (error != std::errc{} || end != value.data() + value.size()) return false;
    if (saw_length_ && length != head_.length) return false;
    saw_length_ = true;
    head_.length = length;
    if (head_.body == ResponseHead::Body::kUntilClose) head_.body = ResponseHead::Body::kLength;
  } else if (equals_ignoring_case(name, "connection")) {
    for_each_option(value, [this](std::string_view option) {
      head_.closes |= equals_ignoring_case(option, "close");
      stays_open_ |= equals_ignoring_case(option, "keep-alive");
    });
  } else if (equals_ignoring_case(name, "transfer-encoding")) {
    if (!equals_ignoring_case(value, "chunked")) return false;
    head_.body = ResponseHead::Body::kChunked;
  }
  return true;
}

ResponseReader::Status ResponseReader::end_head() {
  has_status_line_ = saw_length_ = is_http_1_0_ = stays_open_ = false;
  // RFC 9110 15.2: interim responses announce the real one.
  if (head_.status < 200) {
    head_octets_ = 0;
    return Status::kMore;
  }
  head_octets_ = 1;  // not at the start any more
  switch (head_.body) {
    case ResponseHead::Body::kLength:
      left_ = head_.length;
      if (left_ == 0) return end_response();
      state_ = State::kBody;
      return Status::kMore;
    case ResponseHead::Body::kChunked:
      state_ = State::kChunkSize;
      return Status::kMore;
    case ResponseHead::Body::kUntilClose:
      left_ = kNoEnd;
      state_ = State::kBody;
      return Status::kMore;
  }
  return Status::kError;
}

ResponseReader::Status ResponseReader::end_response() {
  state_ = State::kHead;
  head_octets_ = 0;
  return Status::kComplete;
}

ResponseReader::Status ResponseReader::feed_body(std::span<const std::byte> octets,
                                                 std::size_t& taken) {
  if (left_ == kNoEnd) {
    taken = octets.size();
    return Status::kMore;
  }
  taken = std::min<std::uint64_t>(octets.size(), left_);
  left_ -= taken;
  return left_ == 0 ? end_response() : Status::kMore;
}

/// RFC 9112 7.1. One state's worth of octets.
ResponseReader::Status ResponseReader::feed_chunked(std::span<const std::byte> octets,
                                                    std::size_t& taken) {
  if (state_ == State::kChunk) {
    taken = std::min<std::uint64_t>(octets.size(), left_);
    left_ -= taken;
    if (left_ == 0) state_ = State::kChunkEnd;
    return Status::kMore;
  }
  std::string_view line;
  if (!take_line(octets, taken, line)) return Status::kMore;
  const bool is_cut = is_line_cut_;
  is_line_cut_ = false;
  if (state_ == State::kTrailer) return line.empty() ? end_response() : Status::kMore;
  if (state_ == State::kChunkEnd) {
    state_ = State::kChunkSize;
    return line.empty() && !is_cut ? Status::kMore : Status::kError;
  }
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
  const auto behind = line.substr(static_cast<std::size_t>(end - line.data()));
  if (error != std::errc{} || !(behind.empty() || behind[0] == ';' || behind[0] == ' '))
    return Status::kError;
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  return Status::kMore;
}

}  // namespace load
