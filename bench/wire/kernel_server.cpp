#include "bench/wire/kernel_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sluice::bench {

KernelServer::KernelServer(std::string_view program, int argc, char** argv, int backlog)
    : program_(program) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port < 1 || port > 65535) {
    fmt::print(stderr, "usage: {} PORT\n", program_);
    std::exit(2);
  }
  listener_ = listen_at(static_cast<std::uint16_t>(port), backlog);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) die("epoll");
  watch(listener_);
}

void KernelServer::die(const char* what) const {
  fmt::print(stderr, "{}: {}: {}\n", program_, what, std::strerror(errno));
  std::exit(2);
}

int KernelServer::listen_at(std::uint16_t port, int backlog) const {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("a socket");
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, backlog) != 0) die("listen");
  return listener;
}

void KernelServer::watch(int descriptor) const {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) die("epoll");
}

int KernelServer::wait(std::array<epoll_event, 64>& events) const {
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
  if (count < 0 && errno != EINTR) die("epoll");
  return count;
}

int KernelServer::accept() const {
  const int stream = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (stream < 0) return stream;
  const int on = 1;
  setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch(stream);
  return stream;
}

}  // namespace sluice::bench
