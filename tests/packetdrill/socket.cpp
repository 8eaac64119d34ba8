#include "tests/packetdrill/socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::packetdrill {
namespace {

std::optional<Endpoint> endpoint_of(const sockaddr* address, socklen_t length) {
  sockaddr_in v4{};
  if (address == nullptr || length < sizeof v4 || address->sa_family != AF_INET) return {};
  std::memcpy(&v4, address, sizeof v4);
  return Endpoint{Ipv4Addr{ntohl(v4.sin_addr.s_addr)}, Port{ntohs(v4.sin_port)}};
}

int errno_of(Error error) {
  switch (error) {
    case Error::kStaleHandle:
    case Error::kClosing:
      return EPIPE;
    case Error::kNotConnected:
      return ENOTCONN;
    case Error::kReset:
      return ECONNRESET;
    case Error::kNoAnswer:
    case Error::kTimedOut:
      return ETIMEDOUT;
    case Error::kRefused:
      return ECONNREFUSED;
    case Error::kUnreachable:
      return EHOSTUNREACH;
    case Error::kWouldBlock:
      return EAGAIN;
    case Error::kEndOfStream:
      return 0;
    case Error::kNoBuffers:
    case Error::kTooManyConnections:
    case Error::kTooManyListeners:
      return ENOBUFS;
    case Error::kAddressInUse:
      return EADDRINUSE;
    case Error::kInvalidArgument:
    case Error::kDraining:
      return EINVAL;
  }
  return EIO;
}

int errno_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
    case CloseReason::kAborted:
      return 0;
    case CloseReason::kReset:
    case CloseReason::kShutdown:
      return ECONNRESET;
    case CloseReason::kRefused:
      return ECONNREFUSED;
    case CloseReason::kUnreachable:
      return EHOSTUNREACH;
    case CloseReason::kTimedOut:
    case CloseReason::kKeepalive:
      return ETIMEDOUT;
    case CloseReason::kNoResources:
    case CloseReason::kOverload:
      return ENOBUFS;
  }
  return EIO;
}

}  // namespace

Socket::~Socket() {
  ::syscall(SYS_close, fd_);  // libc's close() is the plug-in's
}

// --- making connections ---

Answer Socket::bind(const sockaddr* address, socklen_t length) {
  const auto endpoint = endpoint_of(address, length);
  if (!endpoint || phase_ != Phase::kFresh) return error_of(EINVAL);
  local_ = *endpoint;
  return {};
}

Answer Socket::listen(int backlog) {
  if (phase_ != Phase::kFresh) return error_of(EINVAL);
  ListenOptions options{.port = local_.port};
  if (!local_.address.is_unspecified()) options.address = local_.address;
  options.accept_backlog = static_cast<std::uint32_t>(std::max(backlog, 0)) + 1;
  const auto listener = stack_.worker().listen(options, *this);
  if (!listener) return error_of(errno_of(listener.error()));
  listener_ = *listener;
  phase_ = Phase::kListening;
  return {};
}

bool Socket::is_acceptable() const {
  const auto info = listener_.info();
  return phase_ == Phase::kListening && info && info->accept_queued > 0;
}

bool Socket::accept_from(Socket& listener) {
  const auto stream = listener.listener_.accept(this);
  if (!stream) return false;
  stream_ = *stream;
  phase_ = Phase::kConnected;
  is_connect_told_ = true;
  if (const auto info = stream_.info()) {
    local_ = info->local;
    remote_ = info->remote;
  }
  options_ = listener.options_;
  apply_options();
  return true;
}

std::optional<Answer> Socket::connect(const sockaddr* address, socklen_t length) {
  if (phase_ == Phase::kListening) return error_of(EISCONN);
  if (phase_ != Phase::kFresh) return answer_of_connect();
  const auto endpoint = endpoint_of(address, length);
  if (!endpoint) return error_of(EINVAL);
  ConnectOptions options{.remote = *endpoint};
  if (!local_.address.is_unspecified()) options.local_address = local_.address;
  options.local_port = local_.port;
  const auto stream = stack_.worker().connect(options, this);
  if (!stream) return error_of(errno_of(stream.error()));
  stream_ = *stream;
  remote_ = *endpoint;
  phase_ = Phase::kConnecting;
  apply_options();
  if (is_nonblocking_) return error_of(EINPROGRESS);
  return std::nullopt;
}

/// As a second connect() gives it, or the first once it is over.
std::optional<Answer> Socket::answer_of_connect() {
  if (phase_ == Phase::kConnecting) {
    if (is_nonblocking_) return error_of(EALREADY);
    return std::nullopt;
  }
  if (const int error = take_error(); error != 0) return error_of(error);
  if (std::exchange(is_connect_told_, true)) return error_of(EISCONN);
  return phase_ == Phase::kConnected ? Answer{} : error_of(ECONNABORTED);
}

void Socket::on_open(Stream) {
  if (phase_ == Phase::kConnecting) phase_ = Phase::kConnected;
}

void Socket::on_closed(Stream stream, CloseReason reason) {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kEnded;
  error_ = errno_of(reason);
  if (reason == CloseReason::kNormal) has_seen_end_ = true;
  // In CLOSE-WAIT there was nothing to read that the reset could have cut off.
  const tcp::Tcb* const block = tcp::find_tcb(stack_.context(), stream.handle());
  if (reason == CloseReason::kReset && block != nullptr && block->has(tcp::kFinReceived) &&
      !block->has(tcp::kFinQueued))
    error_ = EPIPE;
}

void Socket::tell_remote(sockaddr* address, socklen_t* length) const {
  if (address == nullptr || length == nullptr) return;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(remote_.address.v4().value);
  v4.sin_port = htons(remote_.port.value);
  std::memcpy(address, &v4, std::min<std::size_t>(*length, sizeof v4));
  *length = sizeof v4;
}

// --- octets ---

/// Takes from the stream what it has.
void Socket::pull() {
  for (;;) {
    auto data = stream_.read();
    if (data) {
      unread_.push_back(std::move(*data));
      continue;
    }
    if (data.error() == Error::kEndOfStream) has_seen_end_ = true;
    return;
  }
}

bool Socket::is_at_end() const {
  return has_seen_end_ || is_read_shut_ || phase_ == Phase::kEnded;
}

std::uint32_t Socket::unread_bytes() const {
  std::size_t count = 0;
  for (const RxData& data : unread_) count += data.size();
  if (const auto info = stream_.info()) count += info->receive_queued_bytes;
  return static_cast<std::uint32_t>(count);
}

int Socket::inq_hint() const {
  const std::uint32_t count = unread_bytes();
  if (count > 0) return static_cast<int>(count);
  const tcp::Tcb* const block = tcp::find_tcb(stack_.context(), stream_.handle());
  const bool is_ended = block == nullptr || block->has(tcp::kFinReceived);
  return is_ended ? 1 : 0;
}

std::optional<Answer> Socket::receive(std::span<const iovec> parts, int flags) {
  if (phase_ == Phase::kFresh || phase_ == Phase::kListening) return error_of(ENOTCONN);
  const auto blocks = [&]() -> std::optional<Answer> {
    if (is_nonblocking_ || (flags & MSG_DONTWAIT) != 0) return error_of(EAGAIN);
    return std::nullopt;
  };
  if (phase_ == Phase::kConnecting) return blocks();
  pull();
  std::size_t wanted = 0, done = 0;
  for (const iovec& part : parts) wanted += part.iov_len;
  std::vector<std::byte> octets(wanted);
  for (auto data = unread_.begin(); data != unread_.end() && done < wanted; ++data)
    done += data->copy_to(std::span(octets).subspan(done));
  if (done == 0 && wanted > 0) {
    if (const int error = take_error(); error != 0) return error_of(error);
    return is_at_end() ? Answer{} : blocks();
  }
  std::size_t given = 0;
  for (const iovec& part : parts) {
    const std::size_t count = std::min(part.iov_len, done - given);
    if ((flags & MSG_TRUNC) == 0) std::memcpy(part.iov_base, octets.data() + given, count);
    given += count;
  }
  if ((flags & MSG_PEEK) == 0) {
    for (std::size_t left = done; left > 0;) {
      RxData& front = unread_.front();
      const std::size_t count = std::min(left, front.size());
      front.consume(count);
      left -= count;
      if (front.empty()) unread_.pop_front();
    }
  }
  return Answer{static_cast<long>(done)};
}

std::uint32_t Socket::send_room() const {
  if (options_.send_buffer == 0) return ~std::uint32_t{0};
  const auto info = stream_.info();
  const auto limit = static_cast<std::uint32_t>(options_.send_buffer);
  return info && info->send_queued_bytes < limit ? limit - info->send_queued_bytes : 0;
}

std::optional<Answer> Socket::send(std::span<const std::byte> octets, int flags,
                                   std::size_t& done) {
  constexpr int kUnsupported = MSG_OOB | MSG_MORE | MSG_ZEROCOPY | MSG_FASTOPEN;
  if ((flags & kUnsupported) != 0) return error_of(EOPNOTSUPP);
  const bool may_block = !is_nonblocking_ && (flags & MSG_DONTWAIT) == 0;
  const auto partly = [&](int error) {
    return done > 0 ? Answer{static_cast<long>(done)} : error_of(error);
  };
  if (phase_ == Phase::kConnecting) return may_block ? std::optional<Answer>() : error_of(EAGAIN);
  if (const int error = take_error(); error != 0) return partly(error);
  if (phase_ != Phase::kConnected || is_write_shut_) return partly(EPIPE);
  const auto rest = octets.subspan(done);
  const auto taken = stream_.send(rest.first(std::min<std::size_t>(rest.size(), send_room())));
  if (!taken && taken.error() != Error::kNoBuffers) return partly(errno_of(taken.error()));
  if (taken) done += *taken;
  if (done == octets.size()) return Answer{static_cast<long>(done)};
  return may_block ? std::optional<Answer>() : partly(EAGAIN);
}

// --- endings ---

Answer Socket::shutdown(int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return error_of(EINVAL);
  if (phase_ != Phase::kConnected) return error_of(ENOTCONN);
  if (how != SHUT_WR) is_read_shut_ = true;
  if (how != SHUT_RD && !std::exchange(is_write_shut_, true)) {
    const auto result = stream_.shutdown();
    if (!result) return error_of(errno_of(result.error()));
  }
  return {};
}

Answer Socket::close() {
  if (phase_ == Phase::kListening) static_cast<void>(listener_.close());
  const bool has_stream = phase_ == Phase::kConnecting || phase_ == Phase::kConnected;
  phase_ = Phase::kClosed;
  if (!has_stream) return {};
  const bool is_abort =
      !unread_.empty() || (options_.lingering.l_onoff != 0 && options_.lingering.l_linger == 0);
  unread_.clear();
  static_cast<void>(is_abort ? stream_.abort() : stream_.close());
  return {};
}

Answer Socket::fcntl(int command, int argument) {
  if (command == F_GETFL) return {O_RDWR | (is_nonblocking_ ? O_NONBLOCK : 0)};
  if (command != F_SETFL) return error_of(EINVAL);
  is_nonblocking_ = (argument & O_NONBLOCK) != 0;
  return {};
}

short Socket::poll(short events) const {
  int ready = 0;
  if (phase_ == Phase::kListening) {
    if (is_acceptable()) ready |= POLLIN;
  } else if (phase_ == Phase::kFresh || phase_ == Phase::kEnded) {
    ready |= POLLOUT | POLLHUP | (phase_ == Phase::kEnded ? POLLIN | POLLRDHUP : 0);
  } else if (phase_ == Phase::kConnected) {
    const auto info = stream_.info();
    const bool is_ending = info && (info->state == "CLOSE-WAIT" || info->state == "LAST-ACK" ||
                                    info->state == "CLOSING" || info->state == "TIME-WAIT");
    if (unread_bytes() > 0 || is_ending || is_at_end()) ready |= POLLIN;
    if (is_ending || is_at_end()) ready |= POLLRDHUP;
    if (is_write_shut_ || (send_room() > 0 && info)) ready |= POLLOUT;
    if (is_write_shut_ && (is_ending || is_at_end())) ready |= POLLHUP;
  }
  if (error_ != 0) ready |= POLLERR;
  return static_cast<short>(ready & (events | POLLERR | POLLHUP));
}

}  // namespace sluice::packetdrill
