#pragma once

// What the servers on the kernel's TCP that Sluice is compared with have in common: one thread, one
// listener, epoll.

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::bench {

class KernelServer {
 public:
  /// Listens at the port that is the only argument, in all of the namespace's addresses. Says how
  /// the program is used, or what failed, and exits with 2.
  KernelServer(std::string_view program, int argc, char** argv, int backlog);

  /// Never returns. accepted(descriptor): a new stream, which does not block and does not wait for
  /// more (TCP_NODELAY). readable(descriptor): it has octets, or has ended; closing it takes it out
  /// of epoll.
  template <class Accepted, class Readable>
  [[noreturn]] void serve(Accepted&& accepted, Readable&& readable) {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = wait(events);
      for (int i = 0; i < count; ++i) {
        const int ready = events[static_cast<std::size_t>(i)].data.fd;
        if (ready != listener_) {
          readable(ready);
          continue;
        }
        for (int stream = accept(); stream >= 0; stream = accept()) accepted(stream);
      }
    }
  }

 private:
  [[noreturn]] void die(const char* what) const;
  int listen_at(std::uint16_t port, int backlog) const;
  void watch(int descriptor) const;
  int wait(std::array<epoll_event, 64>& events) const;
  int accept() const;  ///< Negative: no more for now.

  std::string_view program_;
  int listener_ = -1, epoll_ = -1;
};

}  // namespace sluice::bench
