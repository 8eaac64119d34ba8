// bench_kernel_echo: an echo server on the kernel's TCP, to compare with: one thread, epoll, the
// same backlog as sluice-echo's listener. Runs until it is killed.

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "bench/wire/kernel_server.hpp"

namespace {

constexpr int kBacklog = 1024;  // sluice::ListenOptions has the same for both of its queues.

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
  sluice::bench::KernelServer("bench_kernel_echo", argc, argv, kBacklog).serve([](int) {}, echo);
}
