#include "tests/sim/application.hpp"

#include <algorithm>
#include <initializer_list>

namespace sluice::sim {
namespace {

constexpr Duration kTryAgain = Duration::from_ms(20);

/// The ends of a connection that a call on it may run into at any time.
bool is_end(Error error) {
  return error == Error::kStaleHandle || error == Error::kReset || error == Error::kTimedOut ||
         error == Error::kRefused || error == Error::kUnreachable || error == Error::kDraining;
}

}  // namespace

Application::Application(Ledger& ledger, Worker worker, const EndPlan& plan, Content outgoing,
                         Content incoming, std::string name)
    : ledger_(ledger),
      worker_(worker),
      plan_(plan),
      outgoing_(outgoing),
      incoming_(incoming),
      name_(std::move(name)),
      buffer_(plan.chunk_bytes) {}

Application::~Application() = default;

std::string Application::describe() const {
  return fmt::format("{}: sent {} of {}, received {}, {}{}{}{}{}", name_, result_.sent,
                     plan_.send_bytes, result_.received, result_.is_open ? "opened, " : "",
                     result_.ended_sending ? "FIN queued, " : "",
                     result_.saw_end ? "saw the peer's end, " : "",
                     result_.cut_short ? "cut it short, " : "",
                     result_.closed == 0 ? std::string("not closed")
                                         : fmt::format("closed: {}", to_string(result_.reason)));
}

// --- what the API promises ---

bool Application::is_call_allowed(Stream stream, const char* callback) {
  if (is_closed()) {
    ledger_.fail("{}: {} after on_closed", name_, callback);
    return false;
  }
  if (!result_.is_open) ledger_.fail("{}: {} before on_open", name_, callback);
  if (stream != stream_) ledger_.fail("{}: {} names another stream", name_, callback);
  if (is_over_ && worker_.now() > over_at_)
    ledger_.fail("{}: {} after close() or abort()", name_, callback);
  return !is_over_;
}

template <class Value>
void Application::must_succeed(const Result<Value, Error>& result, const char* call) {
  if (result || is_end(result.error())) return;
  if (plan_.may_be_drained && result.error() == Error::kClosing) return;
  ledger_.fail("{}: {} failed: {}", name_, call, to_string(result.error()));
}

template <class Value>
void Application::must_fail(const Result<Value, Error>& result, const char* call,
                            std::initializer_list<Error> expected) {
  if (result) {
    ledger_.fail("{}: {} was accepted", name_, call);
  } else if (!is_end(result.error()) &&
             std::find(expected.begin(), expected.end(), result.error()) == expected.end()) {
    ledger_.fail("{}: {} gave the wrong error: {}", name_, call, to_string(result.error()));
  }
}

void Application::check_stale() {
  if (stream_ == Stream{}) return;  // never had one
  const auto octet = std::span(buffer_).first(1);
  const auto check = [this](const auto& result, const char* call) {
    if (result) {
      ledger_.fail("{}: {} on a closed stream was accepted", name_, call);
    } else if (result.error() != Error::kStaleHandle) {
      ledger_.fail("{}: {} on a closed stream: {}", name_, call, to_string(result.error()));
    }
  };
  if (!stream_.is_stale()) ledger_.fail("{}: the handle of a closed stream is not stale", name_);
  check(stream_.send(octet), "send()");
  check(stream_.read(), "read()");
  check(stream_.shutdown(), "shutdown()");
  check(stream_.close(), "close()");
  check(stream_.abort(), "abort()");
  check(stream_.pause_reading(), "pause_reading()");
  check(stream_.resume_reading(), "resume_reading()");
  check(stream_.set_timer(Duration::from_ms(1)), "set_timer()");
  check(stream_.info(), "info()");
}

// --- alarms: one timer of the worker stands for all that is to be done later ---

void Application::at(Instant when, Action action) {
  if (when.is_never()) return;
  actions_.emplace(when, action);
  set_alarm();
}

void Application::set_alarm() {
  if (alarm_timer_) worker_.cancel_timer(*alarm_timer_);
  alarm_timer_.reset();
  if (actions_.empty()) return;
  const Duration wait = std::max(actions_.begin()->first - worker_.now(), Duration::from_ns(1));
  const auto timer = worker_.set_timer(wait, alarm_);
  if (timer) {
    alarm_timer_ = *timer;
  } else {
    ledger_.fail("{}: no timer: {}", name_, to_string(timer.error()));
  }
}

void Application::on_alarm() {
  alarm_timer_.reset();
  const Instant now = worker_.now();
  if (!actions_.empty() && now < actions_.begin()->first)
    ledger_.fail("{}: a timer fired early", name_);
  while (!actions_.empty() && actions_.begin()->first <= now) {
    const Action action = actions_.begin()->second;
    actions_.erase(actions_.begin());
    perform(action);
  }
  set_alarm();
}

void Application::perform(Action action) {
  if (action == Action::kLetGo) {  // packets may be kept beyond the stream's end
    if (!kept_.empty()) kept_.pop_front();
    return;
  }
  if (is_closed() || is_over_) return;
  switch (action) {
    case Action::kAbort:
      do_abort();
      break;
    case Action::kAbortOpening:
      if (!result_.is_open) do_abort();
      break;
    case Action::kClose:
      do_close();
      break;
    case Action::kFinish:
      after_sending();
      break;
    case Action::kSend:
      is_waiting_ = false;
      send_more();
      break;
    case Action::kPause:
      hold_reading(plan_.pause_for);
      break;
    case Action::kResume:
      is_paused_ = false;
      must_succeed(stream_.resume_reading(), "resume_reading()");
      break;
    case Action::kLetGo:
      break;
  }
}

void Application::release() {
  kept_.clear();
  actions_.clear();
  set_alarm();
}

void Application::give_up() {
  if (is_closed()) return;
  if (stream_ == Stream{}) return;
  if (!is_over_) do_abort();
}

// --- callbacks ---

void Application::begin(Stream stream) {
  stream_ = stream;
  at(worker_.now() + plan_.abort_opening_at, Action::kAbortOpening);
}

void Application::on_open(Stream stream) {
  if (result_.is_open) ledger_.fail("{}: on_open twice", name_);
  if (is_closed()) ledger_.fail("{}: on_open after on_closed", name_);
  result_.is_open = true;
  if (stream_ == Stream{}) stream_ = stream;
  if (stream != stream_) ledger_.fail("{}: on_open names another stream", name_);
  if (is_over_) return;
  opened_at_ = worker_.now();
  if (plan_.has_keepalive) must_succeed(stream.set_keepalive(true), "set_keepalive()");
  if (plan_.user_timeout > Duration::zero())
    must_succeed(stream.set_user_timeout(plan_.user_timeout), "set_user_timeout()");
  at(opened_at_ + plan_.abort_at, Action::kAbort);
  at(opened_at_ + plan_.close_at, Action::kClose);
  at(opened_at_ + plan_.pause_at, Action::kPause);
  send_more();
}

/// Octets that were offered before, and not taken then, need no second look.
void Application::take(std::span<const std::byte> octets) {
  const std::uint64_t end = result_.received + octets.size();
  const std::uint64_t from = std::max(result_.received, looked_at_);
  if (from < end && !incoming_.matches(from, octets.subspan(from - result_.received)))
    ledger_.fail("{}: octets {}..{} of the stream are not what was sent", name_, from, end);
  looked_at_ = std::max(looked_at_, end);
  result_.received = end;
}

void Application::take(const RxData& data, std::size_t count) {
  std::size_t seen = 0;
  data.for_each([&](std::span<const std::byte> run) {
    seen += run.size();
    const std::size_t n = std::min(run.size(), count);
    if (n > 0) take(run.first(n));
    count -= n;
  });
  if (seen != data.size())
    ledger_.fail("{}: received data of {} octets says that it has {}", name_, seen, data.size());
}

void Application::hold_reading(Duration how_long) {
  must_succeed(stream_.pause_reading(), "pause_reading()");
  is_paused_ = true;
  paused_at_ = worker_.now();
  at(worker_.now() + how_long, Action::kResume);
}

void Application::on_readable(Stream stream) {
  if (is_closed()) ledger_.fail("{}: on_readable after on_closed", name_);
  if (plan_.reading != Reading::kPull) {
    StreamHandler::on_readable(stream);
    return;
  }
  if (!is_call_allowed(stream, "on_readable")) return;
  for (;;) {
    Result<RxData, Error> data = stream.read();
    if (data) {
      if (data->empty()) ledger_.fail("{}: read() gave no octets and no reason", name_);
      if (result_.saw_end) ledger_.fail("{}: octets after the end of the stream", name_);
      take(*data, data->size());
      continue;
    }
    if (data.error() == Error::kEndOfStream && !result_.saw_end) on_end(stream);
    if (data.error() != Error::kEndOfStream && data.error() != Error::kWouldBlock &&
        !is_end(data.error()))
      ledger_.fail("{}: read() failed: {}", name_, to_string(data.error()));
    return;
  }
}

void Application::on_data(Stream stream, RxData& data) {
  if (!is_call_allowed(stream, "on_data")) return;
  if (data.empty()) ledger_.fail("{}: on_data without data", name_);
  if (result_.saw_end) ledger_.fail("{}: octets after the end of the stream", name_);
  if (is_paused_ && worker_.now() > paused_at_) ledger_.fail("{}: on_data while paused", name_);
  switch (plan_.reading) {
    case Reading::kPull:
    case Reading::kPush:
      take(data, data.size());
      data.consume(data.size());
      return;
    case Reading::kPartial: {
      const std::size_t part = data.size() > 1 ? data.size() / 2 : data.size();
      take(data, part);
      data.consume(part);
      if (!data.empty() && !is_paused_) hold_reading(plan_.hold);
      return;
    }
    case Reading::kKeep:
      take(data, data.size());
      kept_.push_back(std::move(data));
      at(worker_.now() + plan_.hold, Action::kLetGo);
      return;
    case Reading::kEcho: {
      const std::uint64_t before = result_.received;
      take(data, data.size());
      const std::size_t offered = data.size();
      const auto taken = stream.send(data);
      const std::size_t count = taken ? *taken : 0;
      if (data.size() != offered - count)
        ledger_.fail("{}: send(RxData) took {} of {} octets and left {}", name_, count, offered,
                     data.size());
      result_.received = before + count;
      result_.sent += count;
      if (!taken) {
        must_succeed(taken.error() == Error::kNoBuffers || taken.error() == Error::kWouldBlock
                         ? Result<std::size_t, Error>(std::size_t{0})
                         : taken,
                     "send(RxData)");
        if (taken.error() == Error::kNoBuffers && !is_paused_) hold_reading(kTryAgain);
      }
      return;
    }
  }
}

void Application::on_end(Stream stream) {
  result_.saw_end = true;
  if (plan_.reading == Reading::kEcho) {
    result_.ended_sending = true;
    if (plan_.finish == Finish::kShutdown) {
      must_succeed(stream.shutdown(), "shutdown()");
    } else {
      do_close();
    }
    return;
  }
  if (result_.ended_sending) {
    if (plan_.closes_at_end) do_close();
    return;
  }
  send_more();
}

void Application::on_peer_closed(Stream stream) {
  if (!is_call_allowed(stream, "on_peer_closed")) return;
  if (result_.saw_end) ledger_.fail("{}: on_peer_closed twice", name_);
  on_end(stream);
}

void Application::on_writable(Stream stream) {
  if (!is_call_allowed(stream, "on_writable")) return;
  is_waiting_ = false;
  send_more();
}

void Application::on_urgent(Stream stream) {
  if (is_call_allowed(stream, "on_urgent")) result_.saw_urgent = true;
}

void Application::on_timer(Stream stream) {
  if (!is_call_allowed(stream, "on_timer")) return;
  is_waiting_ = false;
  send_more();
}

void Application::on_closed(Stream stream, CloseReason reason) {
  if (++result_.closed > 1) ledger_.fail("{}: on_closed {} times", name_, result_.closed);
  if (stream_ == Stream{}) stream_ = stream;
  if (stream != stream_) ledger_.fail("{}: on_closed names another stream", name_);
  result_.reason = reason;
}

// --- sending and ending ---

bool Application::is_sent() const {
  return plan_.reading == Reading::kEcho ? result_.saw_end : result_.sent >= plan_.send_bytes;
}

void Application::send_more() {
  if (plan_.reading == Reading::kEcho || is_over_ || is_waiting_ || result_.ended_sending) return;
  while (!is_sent()) {
    const std::size_t wanted =
        std::min<std::size_t>(buffer_.size(), plan_.send_bytes - result_.sent);
    const auto octets = std::span(buffer_).first(wanted);
    if (filled_from_ != result_.sent || filled_ < wanted) {
      outgoing_.fill(result_.sent, octets);
      filled_from_ = result_.sent;
      filled_ = wanted;
    }
    const auto taken = stream_.send(octets);
    if (!taken) {
      if (taken.error() == Error::kNoBuffers) {
        is_waiting_ = true;
        at(worker_.now() + kTryAgain, Action::kSend);
      } else if (taken.error() == Error::kWouldBlock) {
        is_waiting_ = true;
      } else {
        must_succeed(taken, "send()");
      }
      return;
    }
    if (*taken > wanted) ledger_.fail("{}: send() took more than it was given", name_);
    result_.sent += *taken;
    if (*taken < wanted) {
      is_waiting_ = true;
      return;
    }
    if (plan_.send_pause > Duration::zero() && !is_sent()) {
      is_waiting_ = true;
      must_succeed(stream_.set_timer(plan_.send_pause), "set_timer()");
      return;
    }
  }
  after_sending();
}

void Application::after_sending() {
  if (is_over_ || result_.ended_sending || !is_sent()) return;
  const Instant not_before = opened_at_ + plan_.finish_at;
  if (worker_.now() < not_before) {
    at(not_before, Action::kFinish);
    return;
  }
  switch (plan_.finish) {
    case Finish::kShutdown:
      finish_sending();
      return;
    case Finish::kLast:
      if (result_.saw_end) do_close();
      return;
    case Finish::kClose:
      do_close();
      return;
    case Finish::kAbort:
      do_abort();
      return;
  }
}

void Application::finish_sending() {
  const auto done = stream_.shutdown();
  must_succeed(done, "shutdown()");
  if (!done) return;
  result_.ended_sending = true;
  if (plan_.misuses) misuse_after_shutdown();
  if (result_.saw_end && plan_.closes_at_end && !is_over_) do_close();
}

void Application::misuse_after_shutdown() {
  must_fail(stream_.send(std::span(buffer_).first(1)), "send() after shutdown()",
            {Error::kClosing});
  must_fail(stream_.shutdown(), "a second shutdown()", {Error::kClosing});
}

void Application::do_close() {
  if (!is_sent() || !result_.saw_end) result_.cut_short = true;
  const auto done = stream_.close();
  must_succeed(done, "close()");
  if (!done) return;
  result_.ended_sending = true;  // FIN follows what was queued so far
  is_over_ = true;
  over_at_ = worker_.now();
  if (!plan_.misuses) return;
  must_fail(stream_.send(std::span(buffer_).first(1)), "send() after close()",
            {Error::kClosing, Error::kStaleHandle});
  must_fail(stream_.read(), "read() after close()", {Error::kClosing, Error::kStaleHandle});
  must_fail(stream_.close(), "a second close()", {Error::kClosing, Error::kStaleHandle});
}

void Application::do_abort() {
  result_.cut_short = true;
  const auto done = stream_.abort();
  must_succeed(done, "abort()");
  if (!done) return;
  is_over_ = true;
  over_at_ = worker_.now();
  if (!plan_.misuses) return;
  must_fail(stream_.send(std::span(buffer_).first(1)), "send() after abort()",
            {Error::kClosing, Error::kStaleHandle});
}

}  // namespace sluice::sim
