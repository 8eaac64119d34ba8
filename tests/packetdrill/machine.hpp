#pragma once

// The machine that a script talks to: descriptors of sockets over one virtual stack.

#include <poll.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/packetdrill/blocking_calls.hpp"
#include "tests/packetdrill/socket.hpp"
#include "tests/packetdrill/virtual_stack.hpp"

namespace sluice::packetdrill {

class Machine {
 public:
  explicit Machine(const Settings& settings) : stack_(settings), blocking_(stack_) {}

  // --- the program ---
  Answer socket(int domain, int type, int protocol);
  Answer accept(int fd, sockaddr* address, socklen_t* length);
  Answer connect(int fd, const sockaddr* address, socklen_t length);
  Answer receive(int fd, std::span<const iovec> parts, int flags);
  Answer receive_message(int fd, msghdr& message, int flags);
  Answer send(int fd, std::span<const iovec> parts, int flags);
  Answer poll(std::span<pollfd> entries, int timeout_ms);
  /// A call that never blocks; EBADF if `fd` is none of ours.
  Answer call(int fd, const std::function<Answer(Socket&)>& perform);
  bool has(int fd);

  // --- the wire and the clock ---
  void receive_packet(std::span<const std::byte> packet);
  /// Runs until a packet leaves. Nothing: none ever will, or one left that should not.
  std::optional<SentPacket> next_packet();
  void sleep(Duration span);
  Instant glance();

 private:
  Socket* find(int fd);
  Socket* make_socket();
  Answer run(std::unique_lock<std::mutex>& lock, const Attempt& attempt);

  std::mutex mutex_;
  VirtualStack stack_;
  BlockingCalls blocking_;
  std::vector<std::unique_ptr<Socket>> sockets_;  ///< Closed ones stay: the stack may know them.
};

}  // namespace sluice::packetdrill
