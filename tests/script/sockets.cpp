#include "tests/script/sockets.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tcp/congestion/controller.hpp"
#include "tcp/handshake/established.hpp"
#include "tcp/timer/tcp_timers.hpp"

namespace sluice::script {
namespace {

constexpr std::int64_t kMostOctets = 16 << 20;  // of one call

CallResult done(std::int64_t value = 0) {
  return {.value = value, .error = {}, .misuse = {}};
}
CallResult failed(std::string error) {
  return {.value = -1, .error = std::move(error), .misuse = {}};
}
CallResult misused(std::string why) {
  return {.value = -1, .error = {}, .misuse = std::move(why)};
}

std::string errno_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
      return "";
    case CloseReason::kReset:
      return "ECONNRESET";
    case CloseReason::kRefused:
      return "ECONNREFUSED";
    case CloseReason::kUnreachable:
      return "EHOSTUNREACH";
    case CloseReason::kTimedOut:
    case CloseReason::kKeepalive:
      return "ETIMEDOUT";
    case CloseReason::kAborted:
    case CloseReason::kShutdown:
      return "ECONNABORTED";
    case CloseReason::kNoResources:
    case CloseReason::kOverload:
      return "ENOBUFS";
  }
  return "";
}

std::int64_t number_at(const Call& call, std::size_t index, std::int64_t otherwise) {
  if (index >= call.arguments.size()) return otherwise;
  const Value& value = call.arguments[index];
  if (value.kind == Value::Kind::kNumber) return value.number;
  if (value.kind == Value::Kind::kList && !value.numbers.empty()) return value.numbers.front();
  return otherwise;
}
std::string word_at(const Call& call, std::size_t index) {
  if (index >= call.arguments.size()) return {};
  const Value& value = call.arguments[index];
  return value.kind == Value::Kind::kList && !value.words.empty() ? value.words.front()
                                                                  : value.word;
}

}  // namespace

CallResult Sockets::call(const Call& call) {
  if (call.name == "socket") return open_socket(call);
  const std::int64_t descriptor = number_at(call, 0, -1);
  const auto found = sockets_.find(descriptor);
  if (found == sockets_.end()) return failed("EBADF");
  Socket& socket = found->second;
  // Blocking or not makes no difference here: nothing ever waits.
  if (call.name == "bind" || call.name == "fcntl") return done(number_at(call, 3, 0));
  if (call.name == "listen") return listen(socket);
  if (call.name == "connect") return connect(socket);
  if (call.name == "accept") return accept(socket, call);
  if (call.name == "write" || call.name == "send") return write(socket, call);
  if (call.name == "read" || call.name == "recv") return read(socket, call);
  if (call.name == "shutdown") return shutdown(socket, call);
  if (call.name == "close") return close(descriptor);
  if (call.name == "setsockopt") return set_option(socket, call);
  if (call.name == "getsockopt") return get_option(socket, call);
  return misused("the call " + call.name + "() is not part of the subset");
}

CallResult Sockets::open_socket(const Call& call) {
  if (call.result < 0) return misused("socket() does not fail");
  sockets_[call.result] = {};
  return done(call.result);
}

CallResult Sockets::listen(Socket& socket) {
  support::TcpRig& rig = rig_();
  const auto handle = tcp::listen(rig.ctx(), {.address = {}, .port = Port{kLocalPort}});
  if (!handle) return failed("EADDRINUSE");
  socket.role = Role::kListener;
  socket.listener = *handle;
  return done();
}

CallResult Sockets::connect(Socket& socket) {
  if (socket.role == Role::kConnection) {
    if (!socket.pending_error.empty()) return take_error(socket, {});
    return socket.is_connected ? done() : failed("EALREADY");
  }
  support::TcpRig& rig = rig_();
  const auto handle = tcp::open(
      rig.ctx(),
      {.remote = {kPeerAddress, Port{kPeerPort}}, .local = {}, .local_port = Port{kLocalPort}});
  if (!handle) return failed("EADDRNOTAVAIL");
  socket.role = Role::kConnection;
  socket.connection = latest_ = *handle;
  rig.settle();
  return failed("EINPROGRESS");
}

CallResult Sockets::accept(Socket& socket, const Call& call) {
  if (socket.role != Role::kListener) return failed("EINVAL");
  support::TcpRig& rig = rig_();
  const auto handle = tcp::accept(rig.ctx(), socket.listener);
  if (!handle) return failed("EAGAIN");
  if (call.result < 0) return misused("accept() gave a connection");
  Socket& made = sockets_[call.result];
  made = {};
  made.role = Role::kConnection;
  made.connection = latest_ = *handle;
  made.is_connected = true;
  rig.settle();
  return done(call.result);
}

CallResult Sockets::take_error(Socket& socket, std::string otherwise) {
  std::string error = std::exchange(socket.pending_error, {});
  if (error.empty()) error = std::move(otherwise);
  return error.empty() ? done() : failed(std::move(error));
}

CallResult Sockets::write(Socket& socket, const Call& call) {
  if (socket.role != Role::kConnection) return failed("EPIPE");
  const std::int64_t wanted = number_at(call, 2, -1);
  if (wanted < 0 || wanted > kMostOctets) return misused("write() needs its third argument");
  support::TcpRig& rig = rig_();
  const auto octets = support::pattern(static_cast<std::size_t>(wanted), socket.written);
  const auto taken = tcp::send(rig.ctx(), socket.connection, octets);
  rig.settle();
  if (!taken) {
    if (taken.error() == Error::kNoBuffers) return failed("ENOBUFS");
    return taken.error() == Error::kClosing ? failed("EPIPE") : take_error(socket, "EPIPE");
  }
  if (*taken == 0 && wanted > 0) return failed("EAGAIN");
  socket.written += *taken;
  return done(static_cast<std::int64_t>(*taken));
}

CallResult Sockets::read(Socket& socket, const Call& call) {
  if (socket.role != Role::kConnection) return failed("ENOTCONN");
  const std::int64_t wanted = number_at(call, 2, -1);
  if (wanted < 0 || wanted > kMostOctets) return misused("read() needs its third argument");
  support::TcpRig& rig = rig_();
  auto chain = tcp::receive(rig.ctx(), socket.connection);
  if (!chain) {
    rig.settle();
    if (chain.error() == Error::kWouldBlock) return failed("EAGAIN");
    return chain.error() == Error::kEndOfStream ? done() : take_error(socket, {});
  }
  const std::vector<std::byte> octets = support::octets_of(*chain);
  const auto count = std::min(octets.size(), static_cast<std::size_t>(wanted));
  const bool is_right =
      std::equal(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(count),
                 support::pattern(count, socket.read).begin());
  chain->drop_front(static_cast<std::uint32_t>(count));
  tcp::unreceive(rig.ctx(), socket.connection, std::move(*chain));
  tcp::credit(rig.ctx(), socket.connection, static_cast<std::uint32_t>(count));
  socket.read += count;
  rig.settle();
  if (!is_right) return misused("read() gave octets that the peer did not send there");
  return done(static_cast<std::int64_t>(count));
}

CallResult Sockets::shutdown(Socket& socket, const Call& call) {
  if (socket.role != Role::kConnection) return failed("ENOTCONN");
  if (word_at(call, 1) != "SHUT_WR") return misused("only SHUT_WR is part of the subset");
  support::TcpRig& rig = rig_();
  const auto result = tcp::shutdown(rig.ctx(), socket.connection);
  rig.settle();
  if (result) return done();
  return result.error() == Error::kClosing ? failed("EPIPE") : failed("ENOTCONN");
}

CallResult Sockets::close(std::int64_t descriptor) {
  const Socket socket = sockets_[descriptor];
  sockets_.erase(descriptor);
  if (socket.role == Role::kFresh) return done();
  support::TcpRig& rig = rig_();
  if (socket.role == Role::kListener) {
    static_cast<void>(tcp::close_listener(rig.ctx(), socket.listener));
  } else if (socket.is_reset_on_close) {
    static_cast<void>(tcp::abort(rig.ctx(), socket.connection, CloseReason::kAborted));
  } else {
    static_cast<void>(tcp::close(rig.ctx(), socket.connection));  // stale: it has ended already
  }
  rig.settle();
  return done();
}

CallResult Sockets::set_option(Socket& socket, const Call& call) {
  const std::string name = word_at(call, 2);
  const std::int64_t number = number_at(call, 3, 0);
  if (name == "SO_REUSEADDR") return done();
  if (name == "TCP_CONGESTION") return set_congestion(socket, call);
  if (name == "SO_LINGER") {
    if (call.arguments.size() < 4 || call.arguments[3].numbers.size() != 2 ||
        call.arguments[3].numbers[1] != 0)
      return misused("only {onoff=.., linger=0} is part of the subset");
    socket.is_reset_on_close = number != 0;
    return done();
  }
  if (socket.role != Role::kConnection) return set_engine_option(name, number);
  support::TcpRig& rig = rig_();
  tcp::Context& ctx = rig.ctx();
  if (tcp::find_tcb(ctx, socket.connection) == nullptr) return failed("EINVAL");
  tcp::Tcb& block = ctx.touch(socket.connection.index);
  if (name == "TCP_NODELAY") {
    block.clear(tcp::kNodelay);
    block.set(tcp::kNodelaySet | (number != 0 ? tcp::kNodelay : 0u));
    if (tcp::is_synchronized(block.state)) ctx.want_output(socket.connection.index);
  } else if (name == "TCP_USER_TIMEOUT") {
    block.user_timeout = tcp::pack_float16(static_cast<std::uint64_t>(number));
  } else if (name == "SO_KEEPALIVE") {
    block.clear(tcp::kKeepaliveOn);
    if (number != 0) block.set(tcp::kKeepaliveOn);
    if (tcp::is_synchronized(block.state)) tcp::restart_keepalive(ctx, socket.connection.index);
  } else {
    return misused("the option " + name + " of a connection is not part of the subset");
  }
  rig.settle();
  return done();
}

/// There is one engine a script: what is set before listen() or connect() configures it.
CallResult Sockets::set_engine_option(const std::string& name, std::int64_t number) {
  tcp::EngineConfig& engine = settings_.engine;
  if (name == "SO_SNDBUF") {
    engine.send_buffer_bytes =
        static_cast<std::uint32_t>(number);  // not doubled, and fixed from here on
    engine.send_buffer_max_bytes = 0;
  } else if (name == "SO_RCVBUF") {
    engine.receive_buffer_bytes = static_cast<std::uint32_t>(number);
    engine.receive_buffer_max_bytes = 0;
  } else if (name == "TCP_MAXSEG") {
    engine.max_mss = static_cast<std::uint16_t>(number);
  } else if (name == "TCP_NODELAY") {
    engine.nodelay = number != 0;
  } else if (name == "TCP_USER_TIMEOUT") {
    engine.user_timeout = Duration::from_ms(number);
  } else if (name == "SO_KEEPALIVE") {
    engine.keepalive = number != 0;
  } else if (name == "TCP_KEEPIDLE") {
    engine.keepalive_idle = Duration::from_s(number);
  } else if (name == "TCP_KEEPINTVL") {
    engine.keepalive_interval = Duration::from_s(number);
  } else if (name == "TCP_KEEPCNT") {
    engine.keepalive_count = static_cast<std::uint8_t>(number);
  } else {
    return misused("the option " + name + " is not part of the subset");
  }
  return done();
}

/// Of a connection at once, before listen() or connect() the engine's default.
CallResult Sockets::set_congestion(Socket& socket, const Call& call) {
  const auto algorithm = tcp::algorithm_of(word_at(call, 3));
  if (!algorithm) return failed("ENOENT");
  if (socket.role != Role::kConnection) {
    settings_.engine.congestion = *algorithm;
    return done();
  }
  tcp::Context& ctx = rig_().ctx();
  if (tcp::find_tcb(ctx, socket.connection) == nullptr) return failed("EINVAL");
  tcp::use_algorithm(ctx, ctx.touch(socket.connection.index), *algorithm);
  return done();
}

/// SO_ERROR only; the result is compared by its errno's name: [ECONNREFUSED], or [0].
CallResult Sockets::get_option(Socket& socket, const Call& call) {
  if (word_at(call, 2) != "SO_ERROR") return misused("only SO_ERROR is part of the subset");
  const std::string pending = std::exchange(socket.pending_error, {});
  const std::string wanted = word_at(call, 3);
  if (pending == wanted) return done();
  return misused("SO_ERROR is " + (pending.empty() ? "0" : pending));
}

void Sockets::note(const std::vector<support::ToldEvent>& told) {
  for (const support::ToldEvent& event : told) {
    if ((event.mask & app::kUrgent) && event.index == latest_.index) ++urgent_told_;
    for (auto& [descriptor, socket] : sockets_) {
      if (socket.role != Role::kConnection || socket.connection.index != event.index ||
          socket.is_closed)
        continue;
      if (event.mask & app::kOpened) socket.is_connected = true;
      if (!(event.mask & app::kClosed)) continue;
      socket.is_closed = true;
      socket.pending_error = errno_of(event.reason);
    }
  }
}

tcp::Tcb* Sockets::latest() {
  return latest_.is_none() ? nullptr : tcp::find_tcb(rig_().ctx(), latest_);
}

}  // namespace sluice::script
