#include "connection.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "driver.hpp"

namespace load {

using sluice::CloseReason;
using sluice::Error;
using sluice::Instant;
using sluice::RxData;
using sluice::Stream;

std::optional<Failure> failure_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
    case CloseReason::kAborted:   // by us, who have counted why
    case CloseReason::kShutdown:  // the end of the program
      return std::nullopt;
    case CloseReason::kReset:
      return Failure::kReset;
    case CloseReason::kRefused:
      return Failure::kRefused;
    case CloseReason::kUnreachable:
      return Failure::kUnreachable;
    case CloseReason::kTimedOut:
    case CloseReason::kKeepalive:
      return Failure::kTimeout;
    case CloseReason::kNoResources:
    case CloseReason::kOverload:
      return Failure::kNoRoom;
  }
  return std::nullopt;
}

std::optional<Failure> failure_of(Error error) {
  switch (error) {
    case Error::kDraining:
      return std::nullopt;
    case Error::kAddressInUse:
      return Failure::kNoPort;
    case Error::kNoBuffers:
    case Error::kTooManyConnections:
      return Failure::kNoRoom;
    case Error::kUnreachable:
    case Error::kInvalidArgument:
    case Error::kStaleHandle:
    case Error::kNotConnected:
    case Error::kTooManyListeners:
    case Error::kClosing:
    case Error::kReset:
    case Error::kTimedOut:
    case Error::kRefused:
    case Error::kWouldBlock:
    case Error::kEndOfStream:
    case Error::kNoAnswer:
      return Failure::kUnreachable;
  }
  return Failure::kUnreachable;
}

void Connection::begin(Stream stream, Instant now) {
  stream_ = stream;
  since_ = now;
  state_ = State::kConnecting;
  given_up_.reset();
}

void Connection::issue(const Pending& pending, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    std::size_t at = std::size_t{first_} + under_way_;
    if (at >= ring_.size()) at -= ring_.size();
    ring_[at] = pending;
    ++under_way_;
  }
  unsent_messages_ += count;
  if (state_ == State::kOpen) pump();
}

void Connection::on_open(Stream) {
  state_ = State::kOpen;
  was_open_ = true;
  driver_->on_connected(*this, driver_->now() - since_);
  if (driver_->mode() == Mode::kConnectClose)
    end();
  else
    pump();
}

void Connection::on_data(Stream, RxData& data) {
  driver_->count_received(data.size());
  std::uint32_t answers = 0;
  data.for_each([&](std::span<const std::byte> octets) {
    answers += driver_->mode() == Mode::kEcho ? read_echo(octets) : read_http(octets);
  });
  data.consume(data.size());
  if (is_broken_) return give_up(Failure::kBadReply);
  if (answers > 0 && state_ == State::kOpen) driver_->on_room(*this);
}

std::uint32_t Connection::read_http(std::span<const std::byte> octets) {
  std::uint32_t answers = 0;
  while (!octets.empty() && !is_broken_) {
    std::size_t taken = 0;
    const auto status = under_way_ == 0 ? ResponseReader::Status::kError
                                        : reader_.feed(octets, taken, driver_->head_memory());
    octets = octets.subspan(taken);
    if (status == ResponseReader::Status::kMore) break;
    is_broken_ = status == ResponseReader::Status::kError;
    if (is_broken_) break;
    const ResponseHead& head = reader_.response();
    is_last_ |= head.closes;
    ++answers;
    if (head.status / 100 == 2)
      driver_->on_answer(take_first());
    else
      driver_->on_failure(take_first(), Failure::kBadStatus);
  }
  return answers;
}

std::uint32_t Connection::read_echo(std::span<const std::byte> octets) {
  const Message& message = driver_->message();
  std::uint32_t answers = 0;
  while (!octets.empty() && !is_broken_) {
    if (under_way_ == 0) {
      is_broken_ = true;
      break;
    }
    const auto expected = message.run(echoed_of_message_, under_way_);
    const std::size_t count = std::min(expected.size(), octets.size());
    is_broken_ = std::memcmp(octets.data(), expected.data(), count) != 0;
    if (is_broken_) break;
    octets = octets.subspan(count);
    for (echoed_of_message_ += count; echoed_of_message_ >= message.size(); ++answers) {
      echoed_of_message_ -= message.size();
      driver_->on_answer(take_first());
    }
  }
  return answers;
}

Pending Connection::take_first() {
  const Pending pending = ring_[first_];
  first_ = first_ + 1 == ring_.size() ? 0 : first_ + 1;
  --under_way_;
  return pending;
}

void Connection::fail_all(Failure failure) {
  while (under_way_ > 0) driver_->on_failure(take_first(), failure);
  unsent_messages_ = 0;
}

void Connection::give_up(Failure failure) {
  // A connection that was not to carry a request yet fails by itself.
  if (under_way_ == 0) driver_->on_lone_failure(failure);
  fail_all(failure);
  given_up_ = failure;
  since_ = driver_->now();
  state_ = State::kEnding;
  static_cast<void>(stream_.abort());
}

void Connection::pump() {
  if (state_ != State::kOpen) return;
  const Message& message = driver_->message();
  while (unsent_messages_ > 0) {
    const auto octets = message.run(sent_of_message_, unsent_messages_);
    const auto sent = stream_.send(octets);
    if (!sent) return;  // on_writable follows, or on_closed
    driver_->count_sent(*sent);
    for (sent_of_message_ += *sent; sent_of_message_ >= message.size(); --unsent_messages_)
      sent_of_message_ -= message.size();
    if (*sent < octets.size()) return;
  }
}

/// FIN; the rest is waiting for the peer's.
void Connection::end() {
  since_ = driver_->now();
  state_ = State::kEnding;
  static_cast<void>(stream_.close());
}

void Connection::on_peer_closed(Stream) {
  // A body without a length ends here (RFC 9112 6.3).
  if (is_http(driver_->mode()) && under_way_ > 0 && !reader_.is_at_start() &&
      reader_.may_end_here()) {
    const bool is_good = reader_.response().status / 100 == 2;
    if (is_good)
      driver_->on_answer(take_first());
    else
      driver_->on_failure(take_first(), Failure::kBadStatus);
  }
  fail_all(Failure::kShort);
  end();
}

void Connection::on_closed(Stream stream, CloseReason reason) {
  if (const auto info = stream.info()) driver_->count_retransmitted(info->retransmitted_segments);
  auto failure = failure_of(reason);
  const State before = state_;
  const bool is_whole = driver_->mode() == Mode::kConnectClose && reason == CloseReason::kNormal &&
                        before == State::kEnding;
  if (is_whole && under_way_ > 0) driver_->on_answer(take_first());
  // Behind the last answer nothing is lost any more, however the connection ends.
  if (before == State::kEnding && under_way_ == 0) failure.reset();
  if (under_way_ > 0) {
    if (reason == CloseReason::kNormal) failure = Failure::kShort;
    failure ? fail_all(*failure) : driver_->forget(std::exchange(under_way_, 0));
  } else if (failure) {
    driver_->on_lone_failure(*failure);
  }
  first_ = under_way_ = unsent_messages_ = 0;
  sent_of_message_ = echoed_of_message_ = 0;
  is_last_ = is_broken_ = false;
  reader_.reset();
  stream_ = {};
  state_ = State::kClosed;
  driver_->on_gone(*this, std::exchange(was_open_, false) ? Before::kOpen : Before::kConnecting,
                   failure ? failure : std::exchange(given_up_, std::nullopt));
}

void Connection::check(Instant now) {
  const sluice::Duration timeout = driver_->timeout();
  switch (state_) {
    case State::kClosed:
      return;
    case State::kConnecting:
      if (now - since_ > timeout) give_up(Failure::kTimeout);
      return;
    case State::kOpen:
      if (under_way_ > 0 && now - ring_[first_].issued > timeout) give_up(Failure::kTimeout);
      return;
    case State::kEnding:
      // The server does not close its side. That is its business, but the slot is ours.
      if (now - since_ <= timeout) return;
      fail_all(Failure::kTimeout);
      static_cast<void>(stream_.abort());
      return;
  }
}

void HeldConnection::on_open(Stream) {
  is_open_ = true;
  driver_->on_held();
}

void HeldConnection::on_closed(Stream stream, CloseReason reason) {
  if (const auto info = stream.info()) driver_->count_retransmitted(info->retransmitted_segments);
  driver_->on_held_gone(*this, is_open_ ? Before::kOpen : Before::kConnecting, failure_of(reason));
  is_open_ = false;
}

}  // namespace load
