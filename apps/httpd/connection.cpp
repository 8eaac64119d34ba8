#include "connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "status_page.hpp"

namespace httpd {
namespace {

constexpr sluice::Duration kLinger = sluice::Duration::from_s(2);

/// After which the connection ends.
Answer last_answer(std::uint16_t status) {
  Answer answer = canned_answer(status);
  answer.keep_alive = false;
  return answer;
}

std::string_view text_of(std::span<const std::byte> octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

}  // namespace

void Connection::on_open(sluice::Stream stream) {
  worker_->stats().accepted.add();
  since_ = stream.worker().now();
  const sluice::Duration patience = worker_->options().patience;
  if (!patience.is_infinite()) static_cast<void>(stream.set_timer(patience));
}

void Connection::on_closed(sluice::Stream, sluice::CloseReason) {
  worker_->stats().closed.add();
  release_blocks();
}

void Connection::on_data(sluice::Stream stream, sluice::RxData& data) {
  const sluice::Instant now = stream.worker().now();
  if (!has_unread_) arrived_ = now;
  while (!data.empty()) {
    switch (state_) {
      case State::kHead:
        take_heads(stream, data);
        break;
      case State::kBody:
        take_body(stream, data);
        break;
      case State::kLingering:
        data.consume(data.size());
        break;
      case State::kAnswering:
        has_unread_ = true;
        return;
    }
  }
  has_unread_ = false;
  if (partial_ == nullptr) since_ = now;
}

void Connection::on_writable(sluice::Stream stream) {
  if (state_ != State::kAnswering) return;
  pump(stream);  // Requests that waited unread are offered again.
  since_ = stream.worker().now();
}

void Connection::on_peer_closed(sluice::Stream stream) {
  peer_closed_ = true;
  switch (state_) {
    case State::kAnswering:
      return;  // The answer is still wanted: the peer has closed only its own direction.
    case State::kHead:
      if (partial_ == nullptr) break;
      [[fallthrough]];
    case State::kBody:
      refuse(stream, 400);  // RFC 9112 8: an incomplete message
      return;
    case State::kLingering:
      break;
  }
  state_ = State::kLingering;
  static_cast<void>(stream.close());
}

void Connection::on_timer(sluice::Stream stream) {
  const sluice::Duration patience = worker_->options().patience;
  const sluice::Duration left = since_ + patience - stream.worker().now();
  if (state_ == State::kLingering) {
    static_cast<void>(stream.close());
  } else if (state_ == State::kAnswering) {
    // A client that does not read is TCP's to judge.
    static_cast<void>(stream.set_timer(patience));
  } else if (left > sluice::Duration::zero()) {
    static_cast<void>(stream.set_timer(left));
  } else {
    worker_->stats().timed_out.add();
    give_up_waiting(stream);
  }
}

void Connection::give_up_waiting(sluice::Stream stream) {
  if (partial_ != nullptr || state_ == State::kBody) {
    refuse(stream, 408);
  } else {
    state_ = State::kLingering;
    static_cast<void>(stream.close());
  }
}

void Connection::take_heads(sluice::Stream stream, sluice::RxData& data) {
  if (partial_ != nullptr) return take_partial(stream, data);
  const std::string_view run = text_of(data.front());
  std::size_t done = 0;   // Octets of answered requests.
  std::size_t begin = 0;  // Of the request at hand.
  const Batch& batch = worker_->batch();
  while (begin < run.size() && state_ == State::kHead && !batch.is_closing()) {
    RequestParser parser;
    switch (parser.parse(run.substr(begin))) {
      case RequestParser::Status::kComplete:
        begin += parser.head_octets();
        done = serve(stream, parser.request(), done, begin, begin < data.size());
        break;
      case RequestParser::Status::kError: {
        // Where the next request would begin is unknown.
        Answer last = last_answer(parser.error());
        done = add_answer(stream, last, done, run.size());
        break;
      }
      case RequestParser::Status::kMore:
        done = flush(stream, done);
        if (state_ != State::kHead) break;
        begin_partial(stream, parser, run.substr(begin));
        done = begin = run.size();
        break;
    }
  }
  data.consume(flush(stream, done));
}

void Connection::begin_partial(sluice::Stream stream, const RequestParser& parser,
                               std::string_view octets) {
  partial_ = &worker_->take_head(*this, stream);
  worker_->stats().partial_heads.add();
  since_ = stream.worker().now();
  partial_->parser = parser;
  partial_->octets = static_cast<std::uint32_t>(octets.size());
  std::memcpy(partial_->text.data(), octets.data(), octets.size());
}

void Connection::take_partial(sluice::Stream stream, sluice::RxData& data) {
  PartialHead& head = *partial_;
  const std::string_view run = text_of(data.front());
  const std::size_t before = head.octets;
  const std::size_t added = std::min(run.size(), head.text.size() - before);
  std::memcpy(head.text.data() + before, run.data(), added);
  head.octets += static_cast<std::uint32_t>(added);
  std::size_t done = added;
  switch (head.parser.parse({head.text.data(), head.octets})) {
    case RequestParser::Status::kMore:
      break;
    case RequestParser::Status::kComplete:
      done = head.parser.head_octets() - before;
      partial_ = nullptr;  // serve() may take other blocks, and give them back
      done = serve(stream, head.parser.request(), 0, done, done < data.size());
      worker_->give_head(head);
      break;
    case RequestParser::Status::kError: {
      partial_ = nullptr;
      Answer last = last_answer(head.parser.error());
      done = add_answer(stream, last, 0, run.size());
      worker_->give_head(head);
      break;
    }
  }
  data.consume(flush(stream, done));
}

std::size_t Connection::serve(sluice::Stream stream, const Request& request, std::size_t done,
                              std::size_t end, bool has_more) {
  Answer answer;
  const Route to = route(request, worker_->options().site, answer);
  if (to == Route::kAnswer) return add_answer(stream, answer, done, end);
  // These are answered alone; the answers before go first.
  done = flush(stream, done);
  if (state_ != State::kHead) return done;
  if (to == Route::kUpload) {
    begin_upload(stream, request, answer);
    // What has begun to come needs no leave (RFC 9110 10.1.1).
    if (state_ == State::kBody && request.expects_continue() && !has_more) send_continue(stream);
  } else {
    answer_status(stream, answer, to);
  }
  return end;
}

std::size_t Connection::add_answer(sluice::Stream stream, Answer& answer, std::size_t done,
                                   std::size_t end) {
  Batch& batch = worker_->batch();
  answer.date = worker_->seconds(stream.worker().now());
  if (batch.add(answer, worker_->date_of(answer.date), end)) return done;
  done = flush(stream, done);
  if (state_ != State::kHead) return done;  // it will be read again
  if (batch.add(answer, worker_->date_of(answer.date), end)) return done;
  start(stream, answer);
  return end;
}

std::size_t Connection::flush(sluice::Stream stream, std::size_t done) {
  Batch& batch = worker_->batch();
  if (batch.is_empty()) return done;
  const auto sent = stream.send(batch.octets());
  const std::size_t taken = sent ? *sent : 0;
  Stats& stats = worker_->stats();
  stats.batches.add();
  stats.octets.add(taken);
  const bool closes = batch.is_closing();
  std::size_t begin = 0;
  std::uint32_t whole = 0;
  for (const Batch::Entry& entry : batch.entries()) {
    done = entry.request_end;
    if (entry.answer_end > taken) {
      // The rest of this one waits, as a value; requests behind it are read again.
      answer_ = entry.answer;
      sent_ = taken - begin;
      state_ = State::kAnswering;
      stats.short_writes.add();
      break;
    }
    note_answer(entry.answer.status);
    begin = entry.answer_end;
    ++whole;
  }
  batch.clear();
  worker_->note_answered(whole, arrived_, stream.worker().now());
  if (closes && state_ == State::kHead) end_answers(stream);
  return done;
}

void Connection::note_answer(std::uint16_t status) {
  Stats& stats = worker_->stats();
  stats.answers[status_index(status)].add();
  if (!is_first_) stats.keep_alive.add();
  is_first_ = false;
}

void Connection::send_continue(sluice::Stream stream) {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  const auto sent = stream.send(kContinue);
  // None of it: the client goes on by itself. A part of it, and the next answer would be garbled.
  if (sent && *sent > 0 && *sent < kContinue.size()) static_cast<void>(stream.abort());
}

void Connection::begin_upload(sluice::Stream stream, const Request& request, const Answer& answer) {
  upload_ = worker_->uploads().take();
  if (upload_ == nullptr) return refuse(stream, 503);
  upload_->answer = answer;
  upload_->is_chunked = request.is_chunked();
  upload_->expected = request.content_length();
  crypto_hash_sha256_init(&upload_->hash);
  state_ = State::kBody;
  if (!request.has_body()) end_upload(stream);
}

void Connection::take_body(sluice::Stream stream, sluice::RxData& data) {
  Upload& upload = *upload_;
  const std::string_view run = text_of(data.front());
  ChunkedDecoder::Step step;
  if (upload.is_chunked) {
    step = upload.chunks.feed(run);
  } else {
    step.taken = std::min<std::uint64_t>(run.size(), upload.expected - upload.received);
    step.content = run.substr(0, step.taken);
  }
  crypto_hash_sha256_update(&upload.hash,
                            reinterpret_cast<const unsigned char*>(step.content.data()),
                            step.content.size());
  upload.received += step.content.size();
  data.consume(step.taken);
  if (step.status == ChunkedDecoder::Status::kError) return refuse(stream, upload.chunks.error());
  if (upload.received > worker_->options().site.max_body) return refuse(stream, 413);
  const bool is_whole = upload.is_chunked ? step.status == ChunkedDecoder::Status::kDone
                                          : upload.received == upload.expected;
  if (is_whole) end_upload(stream);
}

void Connection::end_upload(sluice::Stream stream) {
  Upload& upload = *upload_;
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest;
  crypto_hash_sha256_final(&upload.hash, digest.data());
  std::array<char, 2 * digest.size() + 1> hex;
  sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
  const auto end = fmt::format_to_n(upload.text.data(), upload.text.size(), "{} {}\n",
                                    upload.received, hex.data());
  upload.answer.fields = kTextFields;
  upload.answer.body = std::as_bytes(std::span(upload.text)).first(end.size);
  upload.answer.length = end.size;
  upload.answer.date = worker_->seconds(stream.worker().now());
  start(stream, upload.answer);
}

void Connection::answer_status(sluice::Stream stream, Answer answer, Route format) {
  page_ = worker_->pages().take();
  if (page_ == nullptr) return refuse(stream, 503);
  const bool is_json = format == Route::kStatusJson;
  const auto& all = worker_->all_stats();
  answer.length =
      is_json ? write_status_json(all, page_->text) : write_status_text(all, page_->text);
  answer.fields = is_json
                      ? "Content-Type: application/json\r\nCache-Control: no-store\r\n"
                      : "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n";
  answer.body = std::as_bytes(std::span(page_->text));
  answer.date = worker_->seconds(stream.worker().now());
  start(stream, answer);
}

void Connection::refuse(sluice::Stream stream, std::uint16_t status) {
  release_blocks();
  Answer answer = last_answer(status);
  answer.date = worker_->seconds(stream.worker().now());
  start(stream, answer);
}

void Connection::start(sluice::Stream stream, const Answer& answer) {
  answer_ = answer;
  sent_ = 0;
  state_ = State::kAnswering;
  pump(stream);
}

void Connection::pump(sluice::Stream stream) {
  std::array<char, kMaxHeadOctets> head;
  const std::size_t head_octets = write_head(answer_, worker_->date_of(answer_.date), head.data());
  while (sent_ < head_octets)
    if (!send_some(stream, std::as_bytes(std::span(head)).subspan(sent_, head_octets - sent_)))
      return;
  while (sent_ < head_octets + answer_.body_octets())
    if (!send_some(stream, body_run(answer_, sent_ - head_octets))) return;
  note_answer(answer_.status);
  worker_->note_answered(1, arrived_, stream.worker().now());
  release_blocks();
  if (peer_closed_ || !answer_.keep_alive)
    end_answers(stream);
  else
    state_ = State::kHead;
}

bool Connection::send_some(sluice::Stream stream, std::span<const std::byte> octets) {
  // An error is a want of buffers, after which on_writable comes, or the end, and on_closed.
  const auto sent = stream.send(octets);
  const std::size_t taken = sent ? *sent : 0;
  sent_ += taken;
  worker_->stats().octets.add(taken);
  if (taken < octets.size()) worker_->stats().short_writes.add();
  return taken == octets.size();
}

void Connection::end_answers(sluice::Stream stream) {
  state_ = State::kLingering;
  if (peer_closed_) {
    static_cast<void>(stream.close());
    return;
  }
  // close() with octets still coming in would be a RST, which can take the answer away from the
  // client (RFC 9112 9.6): close our direction, and wait a little for the client's.
  static_cast<void>(stream.shutdown());
  static_cast<void>(stream.set_timer(kLinger));
}

void Connection::release_blocks() {
  if (partial_ != nullptr) worker_->give_head(*std::exchange(partial_, nullptr));
  if (upload_ != nullptr) worker_->uploads().give(std::exchange(upload_, nullptr));
  if (page_ != nullptr) worker_->pages().give(std::exchange(page_, nullptr));
}

}  // namespace httpd
