#include "tests/packetdrill/machine.hpp"

#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace sluice::packetdrill {
namespace {

constexpr Duration kPatience = Duration::from_s(3 * 3600);

/// Makes a step of the stack at a time, for what waits with a limit.
struct Alarm final : TimerHandler {
  void on_timer() override {}
};

}  // namespace

bool Machine::has(int fd) {
  const std::scoped_lock lock(mutex_);
  return find(fd) != nullptr;
}

Socket* Machine::find(int fd) {
  for (const auto& socket : sockets_)
    if (socket->fd() == fd && !socket->is_closed()) return socket.get();
  return nullptr;
}

Socket* Machine::make_socket() {
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return nullptr;
  sockets_.push_back(std::make_unique<Socket>(stack_, fd));
  return sockets_.back().get();
}

Answer Machine::run(std::unique_lock<std::mutex>& lock, const Attempt& attempt) {
  stack_.catch_up();
  const Answer answer = blocking_.complete(lock, attempt);
  stack_.settle();
  return answer;
}

Answer Machine::call(int fd, const std::function<Answer(Socket&)>& perform) {
  std::unique_lock lock(mutex_);
  Socket* const socket = find(fd);
  if (socket == nullptr) return error_of(EBADF);
  return run(lock, [&] { return perform(*socket); });
}

Answer Machine::socket(int domain, int type, int protocol) {
  if (domain != AF_INET) return error_of(EAFNOSUPPORT);
  if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) return error_of(EPROTONOSUPPORT);
  if (protocol != 0 && protocol != IPPROTO_TCP) return error_of(EPROTONOSUPPORT);
  const std::scoped_lock lock(mutex_);
  Socket* const socket = make_socket();
  if (socket == nullptr) return error_of(errno);
  if ((type & SOCK_NONBLOCK) != 0) static_cast<void>(socket->fcntl(F_SETFL, O_NONBLOCK));
  return {socket->fd()};
}

Answer Machine::accept(int fd, sockaddr* address, socklen_t* length) {
  std::unique_lock lock(mutex_);
  Socket* const listener = find(fd);
  if (listener == nullptr) return error_of(EBADF);
  return run(lock, [&]() -> std::optional<Answer> {
    if (!listener->is_acceptable()) {
      if (listener->is_nonblocking()) return error_of(EAGAIN);
      return std::nullopt;
    }
    Socket* const socket = make_socket();
    if (socket == nullptr) return error_of(errno);
    if (!socket->accept_from(*listener)) return error_of(ECONNABORTED);
    socket->tell_remote(address, length);
    return Answer{socket->fd()};
  });
}

Answer Machine::connect(int fd, const sockaddr* address, socklen_t length) {
  std::unique_lock lock(mutex_);
  Socket* const socket = find(fd);
  if (socket == nullptr) return error_of(EBADF);
  return run(lock, [&] { return socket->connect(address, length); });
}

Answer Machine::receive(int fd, std::span<const iovec> parts, int flags) {
  std::unique_lock lock(mutex_);
  Socket* const socket = find(fd);
  if (socket == nullptr) return error_of(EBADF);
  return run(lock, [&] { return socket->receive(parts, flags); });
}

Answer Machine::receive_message(int fd, msghdr& message, int flags) {
  const Answer answer = receive(fd, {message.msg_iov, message.msg_iovlen}, flags);
  if (answer.error != 0) return answer;
  message.msg_namelen = 0;
  message.msg_flags = 0;
  std::optional<int> left;
  static_cast<void>(call(fd, [&](const Socket& socket) {
    if (socket.options().inq != 0) left = socket.inq_hint();
    return Answer{};
  }));
  if (!left || message.msg_controllen < CMSG_SPACE(sizeof *left)) {
    message.msg_controllen = 0;
    return answer;
  }
  cmsghdr* const control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = IPPROTO_TCP;
  control->cmsg_type = TCP_CM_INQ;
  control->cmsg_len = CMSG_LEN(sizeof *left);
  std::memcpy(CMSG_DATA(control), &*left, sizeof *left);
  message.msg_controllen = CMSG_SPACE(sizeof *left);
  return answer;
}

Answer Machine::send(int fd, std::span<const iovec> parts, int flags) {
  std::vector<std::byte> octets;
  for (const iovec& part : parts) {
    const auto* const from = static_cast<const std::byte*>(part.iov_base);
    octets.insert(octets.end(), from, from + part.iov_len);
  }
  std::unique_lock lock(mutex_);
  Socket* const socket = find(fd);
  if (socket == nullptr) return error_of(EBADF);
  std::size_t done = 0;
  return run(lock, [&] { return socket->send(octets, flags, done); });
}

Answer Machine::poll(std::span<pollfd> entries, int timeout_ms) {
  std::unique_lock lock(mutex_);
  const Instant end = stack_.now() + Duration::from_ms(timeout_ms);
  Alarm alarm;
  TimerHandle timer;
  const Answer answer = run(lock, [&]() -> std::optional<Answer> {
    long ready = 0;
    for (pollfd& entry : entries) {
      const Socket* const socket = find(entry.fd);
      entry.revents = socket == nullptr ? POLLNVAL : socket->poll(entry.events);
      if (entry.revents != 0) ++ready;
    }
    if (ready > 0 || timeout_ms == 0) return Answer{ready};
    if (timeout_ms < 0) return std::nullopt;
    if (stack_.stepped_at() >= end) return Answer{0};
    if (timer == TimerHandle{}) {
      const auto set = stack_.worker().set_timer(Duration::from_ms(timeout_ms), alarm);
      if (!set) return error_of(ENOMEM);
      timer = *set;
    }
    return std::nullopt;
  });
  stack_.worker().cancel_timer(timer);
  return answer;
}

void Machine::receive_packet(std::span<const std::byte> packet) {
  const std::scoped_lock lock(mutex_);
  stack_.receive(packet);
}

std::optional<SentPacket> Machine::next_packet() {
  const std::scoped_lock lock(mutex_);
  stack_.catch_up();
  const Instant limit = stack_.now() + kPatience;
  while (stack_.sent.empty())
    if (!stack_.run_to_next_deadline(limit)) return std::nullopt;
  if (stack_.has_sent_wrong_checksum()) {
    std::fprintf(stderr, "the stack sent a segment with a wrong checksum\n");
    return std::nullopt;
  }
  SentPacket packet = std::move(stack_.sent.front());
  stack_.sent.pop_front();
  return packet;
}

void Machine::sleep(Duration span) {
  const std::scoped_lock lock(mutex_);
  stack_.run_until(stack_.now() + span);
}

Instant Machine::glance() {
  if (const auto at = BlockingCalls::take_time_of_answer()) return *at;
  const std::scoped_lock lock(mutex_);
  return stack_.glance();
}

}  // namespace sluice::packetdrill
