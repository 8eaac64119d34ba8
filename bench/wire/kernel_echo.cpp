// bench_kernel_echo: an echo server on the kernel's TCP, to compare with: one thread, epoll, the
// same backlog as sluice-echo's listener. Runs until it is killed.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kBacklog = 1024;  // sluice::ListenOptions has the same for both of its queues.

void die(const char* what) {
  fmt::print(stderr, "bench_kernel_echo: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

int listen_at(std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("a socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, kBacklog) != 0) die("listen");
  return listener;
}

void watch(int epoll, int descriptor) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) die("epoll");
}

void accept_all(int epoll, int listener) {
  for (;;) {
    const int stream = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (stream < 0) return;
    const int on = 1;
    setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(epoll, stream);
  }
}

/// Clients send a few octets, for which a send buffer always has room.
void echo(int stream) {
  std::array<char, 4096> text;
  const ssize_t got = recv(stream, text.data(), text.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 || send(stream, text.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
    close(stream);
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port < 1 || port > 65535) {
    fmt::print(stderr, "usage: bench_kernel_echo PORT\n");
    return 2;
  }
  const int listener = listen_at(static_cast<std::uint16_t>(port));
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll");
  watch(epoll, listener);
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) die("epoll");
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == listener)
        accept_all(epoll, listener);
      else
        echo(descriptor);
    }
  }
}
