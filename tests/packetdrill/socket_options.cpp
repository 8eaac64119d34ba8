// getsockopt(), setsockopt() and ioctl() of a socket.

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/packetdrill/socket.hpp"
#include "tests/packetdrill/tcp_info.hpp"

namespace sluice::packetdrill {
namespace {

/// Copies as much of `value` as the caller has room for.
template <class Value>
Answer tell(const Value& value, void* out, socklen_t& length) {
  length = std::min<socklen_t>(length, sizeof value);
  std::memcpy(out, &value, length);
  return {};
}

/// The options that are an int and no more; null: not one of them.
int* int_option(SocketOptions& options, int level, int name) {
  switch (level) {
    case SOL_SOCKET:
      if (name == SO_REUSEADDR) return &options.reuse_address;
      if (name == SO_KEEPALIVE) return &options.keepalive;
      if (name == SO_SNDBUF) return &options.send_buffer;
      if (name == SO_RCVBUF) return &options.receive_buffer;
      return nullptr;
    case IPPROTO_IP:
      if (name == IP_TOS) return &options.tos;
      if (name == IP_MTU_DISCOVER) return &options.mtu_discover;
      return nullptr;
    case IPPROTO_TCP:
      if (name == TCP_NODELAY) return &options.nodelay;
      if (name == TCP_QUICKACK) return &options.quick_ack;
      if (name == TCP_INQ) return &options.inq;
      if (name == TCP_USER_TIMEOUT) return &options.user_timeout_ms;
      return nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

/// Tells the stream what was set, also before it was one.
void Socket::apply_options() {
  static_cast<void>(stream_.set_nodelay(options_.nodelay != 0));
  static_cast<void>(stream_.set_keepalive(options_.keepalive != 0));
  static_cast<void>(stream_.set_user_timeout(Duration::from_ms(options_.user_timeout_ms)));
}

Answer Socket::get_option(int level, int name, void* value, socklen_t& length) {
  if (level == SOL_SOCKET && name == SO_ERROR) return tell(take_error(), value, length);
  if (level == SOL_SOCKET && name == SO_LINGER) return tell(options_.lingering, value, length);
  if (level == SOL_SOCKET && name == SO_MEMINFO) return tell(memory_info(stream_), value, length);
  if (level == IPPROTO_TCP && name == TCP_INFO)
    return fill_tcp_info(stack_, stream_, value, length);
  if (level == IPPROTO_TCP && name == TCP_CC_INFO) {
    length = 0;  // as an algorithm that has nothing to say
    return {};
  }
  if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
    const auto info = stream_.info();
    return tell(info ? static_cast<int>(info->mss) : 536, value, length);
  }
  if (const int* const option = int_option(options_, level, name)) {
    // Linux doubles a buffer's size, for its own overhead, and tells it so.
    const bool is_buffer = level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF);
    return tell(*option * (is_buffer ? 2 : 1), value, length);
  }
  return error_of(ENOPROTOOPT);
}

Answer Socket::set_option(int level, int name, const void* value, socklen_t length) {
  if (level == SOL_SOCKET && name == SO_LINGER) {
    if (length < sizeof options_.lingering) return error_of(EINVAL);
    std::memcpy(&options_.lingering, value, sizeof options_.lingering);
    return {};
  }
  int* const option = int_option(options_, level, name);
  if (option == nullptr) return error_of(ENOPROTOOPT);
  if (length == 1 && level == IPPROTO_IP) {
    *option = *static_cast<const unsigned char*>(value);
  } else {
    if (length < sizeof *option) return error_of(EINVAL);
    std::memcpy(option, value, sizeof *option);
  }
  apply_options();
  return {};
}

Answer Socket::ioctl(unsigned long request, int* value) {
  if (value == nullptr) return error_of(EFAULT);
  if (phase_ == Phase::kListening) return error_of(EINVAL);
  const auto info = stream_.info();
  switch (request) {
    case SIOCINQ:
      *value = static_cast<int>(unread_bytes());
      return {};
    case SIOCOUTQ:
      *value = info ? static_cast<int>(info->send_queued_bytes) : 0;
      return {};
    case SIOCOUTQNSD:
      *value = info ? static_cast<int>(info->send_queued_bytes -
                                       std::min(info->unacked_bytes, info->send_queued_bytes))
                    : 0;
      return {};
    default:
      return error_of(EINVAL);
  }
}

}  // namespace sluice::packetdrill
