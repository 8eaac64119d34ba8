// What packetdrill loads: its calls, handed to the Machine, and the two calls of libc that it makes
// on our descriptors behind the interface's back (hence LD_PRELOAD).

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "tests/packetdrill/interface.hpp"
#include "tests/packetdrill/machine.hpp"
#include "tests/support/eal.hpp"

namespace sluice::packetdrill {
namespace {

#define SLUICE_EXPORT __attribute__((visibility("default")))

// packetdrill makes one; getsockopt() and close() below find it here.
std::atomic<Machine*> the_machine = nullptr;

Machine& machine(void* self) {
  return *static_cast<Machine*>(self);
}

/// As libc gives it: -1 and errno.
template <class Number = int>
Number as_libc(const Answer& answer) {
  if (answer.error == 0) return static_cast<Number>(answer.value);
  errno = answer.error;
  return -1;
}

iovec part(const void* data, size_t length) {
  return {const_cast<void*>(data), length};  // NOLINT: iovec has no const
}

// --- the program's calls ---

void free_machine(void* self) {
  the_machine = nullptr;
  delete &machine(self);  // NOLINT: made by packetdrill_interface_init
}

int do_socket(void* self, int domain, int type, int protocol) {
  return as_libc(machine(self).socket(domain, type, protocol));
}

int do_bind(void* self, int fd, const sockaddr* address, socklen_t length) {
  return as_libc(
      machine(self).call(fd, [&](Socket& socket) { return socket.bind(address, length); }));
}

int do_listen(void* self, int fd, int backlog) {
  return as_libc(machine(self).call(fd, [&](Socket& socket) { return socket.listen(backlog); }));
}

int do_accept(void* self, int fd, sockaddr* address, socklen_t* length) {
  return as_libc(machine(self).accept(fd, address, length));
}

int do_connect(void* self, int fd, const sockaddr* address, socklen_t length) {
  return as_libc(machine(self).connect(fd, address, length));
}

ssize_t do_readv(void* self, int fd, const iovec* parts, int count) {
  return as_libc<ssize_t>(machine(self).receive(fd, {parts, static_cast<size_t>(count)}, 0));
}

ssize_t do_recv(void* self, int fd, void* data, size_t length, int flags) {
  const iovec one = part(data, length);
  return as_libc<ssize_t>(machine(self).receive(fd, {&one, 1}, flags));
}

ssize_t do_read(void* self, int fd, void* data, size_t length) {
  return do_recv(self, fd, data, length, 0);
}

ssize_t do_recvfrom(void* self, int fd, void* data, size_t length, int flags, sockaddr*,
                    socklen_t* address_length) {
  if (address_length != nullptr) *address_length = 0;
  return do_recv(self, fd, data, length, flags);
}

ssize_t do_recvmsg(void* self, int fd, msghdr* message, int flags) {
  return as_libc<ssize_t>(machine(self).receive_message(fd, *message, flags));
}

ssize_t do_writev(void* self, int fd, const iovec* parts, int count) {
  return as_libc<ssize_t>(machine(self).send(fd, {parts, static_cast<size_t>(count)}, 0));
}

ssize_t do_send(void* self, int fd, const void* data, size_t length, int flags) {
  const iovec one = part(data, length);
  return as_libc<ssize_t>(machine(self).send(fd, {&one, 1}, flags));
}

ssize_t do_write(void* self, int fd, const void* data, size_t length) {
  return do_send(self, fd, data, length, 0);
}

ssize_t do_sendto(void* self, int fd, const void* data, size_t length, int flags, const sockaddr*,
                  socklen_t) {
  return do_send(self, fd, data, length, flags);
}

ssize_t do_sendmsg(void* self, int fd, const msghdr* message, int flags) {
  return as_libc<ssize_t>(machine(self).send(fd, {message->msg_iov, message->msg_iovlen}, flags));
}

int do_fcntl(void* self, int fd, int command, ...) {
  int argument = 0;
  if (command == F_SETFL) {
    va_list list;
    va_start(list, command);
    argument = va_arg(list, int);
    va_end(list);
  }
  return as_libc(
      machine(self).call(fd, [&](Socket& socket) { return socket.fcntl(command, argument); }));
}

int do_ioctl(void* self, int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  int* const value = va_arg(list, int*);
  va_end(list);
  return as_libc(
      machine(self).call(fd, [&](Socket& socket) { return socket.ioctl(request, value); }));
}

int do_close(void* self, int fd) {
  return as_libc(machine(self).call(fd, [](Socket& socket) { return socket.close(); }));
}

int do_shutdown(void* self, int fd, int how) {
  return as_libc(machine(self).call(fd, [&](Socket& socket) { return socket.shutdown(how); }));
}

int do_getsockopt(void* self, int fd, int level, int name, void* value, socklen_t* length) {
  return as_libc(machine(self).call(
      fd, [&](Socket& socket) { return socket.get_option(level, name, value, *length); }));
}

int do_setsockopt(void* self, int fd, int level, int name, const void* value, socklen_t length) {
  return as_libc(machine(self).call(
      fd, [&](Socket& socket) { return socket.set_option(level, name, value, length); }));
}

int do_poll(void* self, pollfd* entries, nfds_t count, int timeout_ms) {
  return as_libc(machine(self).poll({entries, count}, timeout_ms));
}

// --- wire and clock ---

int do_netdev_send(void* self, const void* packet, size_t length) {
  machine(self).receive_packet({static_cast<const std::byte*>(packet), length});
  return 0;
}

int do_netdev_receive(void* self, void* buffer, size_t* length, long long* time_us) {
  const auto packet = machine(self).next_packet();
  if (!packet || packet->octets.size() > *length) {
    *length = 0;
    return 0;
  }
  std::memcpy(buffer, packet->octets.data(), packet->octets.size());
  *length = packet->octets.size();
  *time_us = packet->at.ns() / 1000;
  return 0;
}

int do_usleep(void* self, useconds_t span) {
  machine(self).sleep(Duration::from_us(span));
  return 0;
}

int do_gettimeofday(void* self, timeval* value, struct timezone*) {
  const std::int64_t us = machine(self).glance().ns() / 1000;
  value->tv_sec = us / 1'000'000;
  value->tv_usec = us % 1'000'000;
  return 0;
}

// --- what this stack has no equal of ---

int unsupported() {
  errno = ENOSYS;
  return -1;
}
int do_epoll_create(void*, int) {
  return unsupported();
}
int do_epoll_ctl(void*, int, int, int, epoll_event*) {
  return unsupported();
}
int do_epoll_wait(void*, int, epoll_event*, int, int) {
  return unsupported();
}
int do_pipe(void*, int[2]) {
  return unsupported();
}
int do_splice(void*, int, loff_t*, int, loff_t*, size_t, unsigned) {
  return unsupported();
}

constexpr Interface kCalls = {
    .self = nullptr,
    .free = free_machine,
    .socket = do_socket,
    .bind = do_bind,
    .listen = do_listen,
    .accept = do_accept,
    .connect = do_connect,
    .read = do_read,
    .readv = do_readv,
    .recv = do_recv,
    .recvfrom = do_recvfrom,
    .recvmsg = do_recvmsg,
    .write = do_write,
    .writev = do_writev,
    .send = do_send,
    .sendto = do_sendto,
    .sendmsg = do_sendmsg,
    .fcntl = do_fcntl,
    .ioctl = do_ioctl,
    .close = do_close,
    .shutdown = do_shutdown,
    .getsockopt = do_getsockopt,
    .setsockopt = do_setsockopt,
    .poll = do_poll,
    .netdev_send = do_netdev_send,
    .netdev_receive = do_netdev_receive,
    .usleep = do_usleep,
    .gettimeofday = do_gettimeofday,
    .epoll_create = do_epoll_create,
    .epoll_ctl = do_epoll_ctl,
    .epoll_wait = do_epoll_wait,
    .pipe = do_pipe,
    .splice = do_splice,
};

/// EAL binds the thread to one CPU, where packetdrill's threads would spin against each other.
void start_eal_unpinned() {
  cpu_set_t cpus;
  const bool is_known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
  support::start_eal();
  if (is_known) sched_setaffinity(0, sizeof cpus, &cpus);
}

}  // namespace
}  // namespace sluice::packetdrill

extern "C" SLUICE_EXPORT void packetdrill_interface_init(
    const char* flags, sluice::packetdrill::Interface* interface) {
  using namespace sluice::packetdrill;
  ::unsetenv("LD_PRELOAD");  // the shell commands of scripts do without it
  try {
    const Settings settings = parse_settings(flags == nullptr ? "" : flags);
    start_eal_unpinned();
    *interface = kCalls;
    auto* const made = new Machine(settings);
    interface->self = made;
    the_machine = made;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "libsluice-packetdrill: %s\n", error.what());
    std::exit(EXIT_FAILURE);
  }
}

extern "C" SLUICE_EXPORT int getsockopt(int fd, int level, int name, void* value,
                                        socklen_t* length) noexcept {
  using namespace sluice::packetdrill;
  Machine* const machine = the_machine;
  if (machine != nullptr && machine->has(fd))
    return do_getsockopt(machine, fd, level, name, value, length);
  return static_cast<int>(::syscall(SYS_getsockopt, fd, level, name, value, length));
}

extern "C" SLUICE_EXPORT int close(int fd) {
  using namespace sluice::packetdrill;
  Machine* const machine = the_machine;
  if (machine != nullptr && machine->has(fd)) return do_close(machine, fd);
  return static_cast<int>(::syscall(SYS_close, fd));
}
