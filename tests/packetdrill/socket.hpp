#pragma once

// A socket over the public API: a listener or a stream with what the socket calls remember beside
// it. Linux's reading of the calls, for scripts have it.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <deque>
#include <optional>
#include <span>
#include <utility>

#include "sluice/listener.hpp"
#include "sluice/worker.hpp"
#include "tests/packetdrill/blocking_calls.hpp"

namespace sluice::packetdrill {

/// Options as set, for those that getsockopt() tells again and that accept() hands on.
struct SocketOptions {
  int nodelay = 0;
  int keepalive = 0;
  int reuse_address = 0;
  int quick_ack = 1;
  int inq = 0;  ///< TCP_INQ: recvmsg() tells what is left to read.
  int tos = 0;
  int mtu_discover = 1;
  int user_timeout_ms = 0;
  int send_buffer = 0;     ///< Octets that send() may have queued; 0: the stack's limit.
  int receive_buffer = 0;  ///< Told again, no more: the stack sizes its windows itself.
  linger lingering{};
};

class Socket final : public StreamHandler, public ListenerHandler {
 public:
  /// `fd`: a descriptor that stands for the socket to the kernel. Owned.
  Socket(VirtualStack& stack, int fd) : stack_(stack), fd_(fd) {}
  ~Socket() override;

  int fd() const { return fd_; }
  bool is_closed() const { return phase_ == Phase::kClosed; }
  bool is_nonblocking() const { return is_nonblocking_; }

  // --- calls; nothing: it would block ---
  Answer bind(const sockaddr* address, socklen_t length);
  Answer listen(int backlog);
  bool is_acceptable() const;
  /// Takes a connection of `listener`, which is_acceptable(). False: there was none after all.
  bool accept_from(Socket& listener);
  std::optional<Answer> connect(const sockaddr* address, socklen_t length);
  std::optional<Answer> receive(std::span<const iovec> parts, int flags);
  /// `done`: octets taken by earlier attempts of the same call.
  std::optional<Answer> send(std::span<const std::byte> octets, int flags, std::size_t& done);
  Answer shutdown(int how);
  Answer close();
  Answer fcntl(int command, int argument);
  Answer ioctl(unsigned long request, int* value);
  Answer get_option(int level, int name, void* value, socklen_t& length);
  Answer set_option(int level, int name, const void* value, socklen_t length);
  short poll(short events) const;

  void tell_remote(sockaddr* address, socklen_t* length) const;
  const SocketOptions& options() const { return options_; }
  std::uint32_t unread_bytes() const;
  /// TCP_INQ's hint: what is left to read; 1 if that is nothing but the end of the stream.
  int inq_hint() const;

 private:
  enum class Phase : std::uint8_t { kFresh, kListening, kConnecting, kConnected, kEnded, kClosed };

  void on_acceptable(Listener) override {}
  void on_open(Stream stream) override;
  void on_readable(Stream) override {}  // read by receive() only
  void on_closed(Stream stream, CloseReason reason) override;

  std::optional<Answer> answer_of_connect();
  void pull();
  bool is_at_end() const;
  int take_error() { return std::exchange(error_, 0); }
  void apply_options();
  std::uint32_t send_room() const;

  VirtualStack& stack_;
  const int fd_;
  Phase phase_ = Phase::kFresh;
  bool is_nonblocking_ = false;
  bool is_connect_told_ = false;  ///< connect() has given its result.
  bool is_read_shut_ = false;
  bool is_write_shut_ = false;
  bool has_seen_end_ = false;  ///< The peer's FIN was read.
  int error_ = 0;              ///< SO_ERROR
  Endpoint local_;
  Endpoint remote_;
  Listener listener_;
  Stream stream_;
  std::deque<RxData> unread_;  ///< Looked at by MSG_PEEK, or left by a short read. Still charged.
  SocketOptions options_;
};

}  // namespace sluice::packetdrill
