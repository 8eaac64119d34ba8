#include "chunked.hpp"

#include <algorithm>

namespace httpd {
namespace {

constexpr std::uint8_t kMaxDigits = 15;  // 2^60 octets in a chunk: no overflow can hide there

int digit_of(char octet) {
  if (octet >= '0' && octet <= '9') return octet - '0';
  const char small = static_cast<char>(octet | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool is_text(char octet) {
  const auto value = static_cast<unsigned char>(octet);
  return value == '\t' || (value >= 0x20 && value != 0x7f);
}

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view octets) {
  Step result;
  if (error_ != 0) result.status = Status::kError;
  while (result.taken < octets.size() && error_ == 0 && state_ != State::kDone) {
    if (state_ == State::kContent) {
      const std::size_t length = std::min<std::uint64_t>(left_, octets.size() - result.taken);
      result.content = octets.substr(result.taken, length);
      result.taken += length;
      left_ -= length;
      if (left_ == 0) state_ = State::kContentCr;
      return result;
    }
    if (!step(octets[result.taken++])) result.status = Status::kError;
  }
  if (state_ == State::kDone) result.status = Status::kDone;
  return result;
}

bool ChunkedDecoder::expect(char octet, char wanted, State next) {
  if (octet != wanted) return fail(400);
  state_ = next;
  return true;
}

bool ChunkedDecoder::step(char octet) {
  switch (state_) {
    case State::kSize:
    case State::kExtension:
      return step_size(octet);
    case State::kSizeEnd:
      beside_ = digits_ = 0;
      return expect(octet, '\n', left_ == 0 ? State::kTrailerStart : State::kContent);
    case State::kContentCr:
      return expect(octet, '\r', State::kContentLf);
    case State::kContentLf:
      return expect(octet, '\n', State::kSize);
    case State::kTrailerStart:
    case State::kTrailer:
      return step_trailer(octet);
    case State::kTrailerLf:
      return expect(octet, '\n', State::kTrailerStart);
    case State::kLastLf:
      return expect(octet, '\n', State::kDone);
    case State::kContent:
    case State::kDone:
      break;
  }
  return fail(400);
}

bool ChunkedDecoder::step_size(char octet) {
  if (octet == '\r' && digits_ > 0) {
    state_ = State::kSizeEnd;
    return true;
  }
  if (state_ == State::kSize) {
    if (const int digit = digit_of(octet); digit >= 0) {
      if (digits_++ == kMaxDigits) return fail(400);
      left_ = left_ * 16 + static_cast<unsigned>(digit);
      return true;
    }
    if (digits_ == 0 || (octet != ';' && octet != ' ' && octet != '\t')) return fail(400);
    state_ = State::kExtension;
  }
  //= rfc9112#7.1.1  extensions that are not known are ignored, their length is limited
  return is_text(octet) && ++beside_ <= kMaxExtension ? true : fail(400);
}

bool ChunkedDecoder::step_trailer(char octet) {
  const bool is_start = state_ == State::kTrailerStart;
  if (octet == '\r') {
    state_ = is_start ? State::kLastLf : State::kTrailerLf;
    return true;
  }
  if (!is_text(octet) || (is_start && (octet == ' ' || octet == '\t'))) return fail(400);
  state_ = State::kTrailer;
  return ++beside_ <= kMaxTrailer ? true : fail(431);
}

}  // namespace httpd
