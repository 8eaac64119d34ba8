#pragma once

// The ABI between packetdrill and a stack under test: what its `--so_filename` loads. Only the
// order and the types of the pointers matter; packetdrill leaves the struct zeroed and calls them.

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace sluice::packetdrill {

/// Calls of the program under test, then its network device, then its clock. Unless said otherwise
/// an error is -1 with errno set.
struct Interface {
  void* self;  ///< Handed back with every call.
  void (*free)(void*);

  int (*socket)(void*, int domain, int type, int protocol);
  int (*bind)(void*, int fd, const sockaddr*, socklen_t);
  int (*listen)(void*, int fd, int backlog);
  int (*accept)(void*, int fd, sockaddr*, socklen_t*);
  int (*connect)(void*, int fd, const sockaddr*, socklen_t);
  ssize_t (*read)(void*, int fd, void*, size_t);
  ssize_t (*readv)(void*, int fd, const iovec*, int count);
  ssize_t (*recv)(void*, int fd, void*, size_t, int flags);
  ssize_t (*recvfrom)(void*, int fd, void*, size_t, int flags, sockaddr*, socklen_t*);
  ssize_t (*recvmsg)(void*, int fd, msghdr*, int flags);
  ssize_t (*write)(void*, int fd, const void*, size_t);
  ssize_t (*writev)(void*, int fd, const iovec*, int count);
  ssize_t (*send)(void*, int fd, const void*, size_t, int flags);
  ssize_t (*sendto)(void*, int fd, const void*, size_t, int flags, const sockaddr*, socklen_t);
  ssize_t (*sendmsg)(void*, int fd, const msghdr*, int flags);
  int (*fcntl)(void*, int fd, int command, ...);
  int (*ioctl)(void*, int fd, unsigned long request, ...);
  int (*close)(void*, int fd);
  int (*shutdown)(void*, int fd, int how);
  int (*getsockopt)(void*, int fd, int level, int name, void* value, socklen_t* length);
  int (*setsockopt)(void*, int fd, int level, int name, const void* value, socklen_t length);
  int (*poll)(void*, pollfd*, nfds_t, int timeout_ms);

  /// A packet for the stack, IP header first.
  int (*netdev_send)(void*, const void* packet, size_t length);
  /// The next packet that the stack sends, and when it did. `length` is the buffer's size, then the
  /// packet's; 0 with result 0 makes the script fail.
  int (*netdev_receive)(void*, void* buffer, size_t* length, long long* time_us);
  int (*usleep)(void*, useconds_t);
  int (*gettimeofday)(void*, timeval*, struct timezone*);

  int (*epoll_create)(void*, int);
  int (*epoll_ctl)(void*, int, int, int, epoll_event*);
  int (*epoll_wait)(void*, int, epoll_event*, int, int);
  int (*pipe)(void*, int[2]);
  int (*splice)(void*, int, loff_t*, int, loff_t*, size_t, unsigned);
};
static_assert(sizeof(Interface) == 33 * sizeof(void*));

}  // namespace sluice::packetdrill
