// bench_kernel_httpd: the least that an HTTP/1.1 server on the kernel's TCP can be, to compare
// with: one thread, epoll, 64 octets for any request without a body, Connection: close obeyed. What
// the kernel takes of its core is all but the whole. Runs until it is killed.

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/wire/kernel_server.hpp"

namespace {

constexpr std::size_t kBody = 64;
constexpr std::size_t kLongestHead = 4096;
constexpr std::size_t kMostPipelined = 64;  // Answers that one send() has room for.

std::string answer(std::string_view connection) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nServer: bench_kernel_httpd\r\nContent-Type: application/octet-stream\r\n"
      "Content-Length: {}\r\n{}\r\n{:x>{}}",
      kBody, connection, "", kBody);
}

/// A client, and the head that has not ended yet.
struct Client {
  explicit Client(int descriptor) : stream(descriptor) {}
  ~Client() { close(stream); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int stream;
  std::size_t filled = 0;
  std::array<char, kLongestHead> head;
};

class Clients {
 public:
  void accepted(int stream) {
    const auto place = static_cast<std::size_t>(stream);
    if (place >= clients_.size()) clients_.resize(place + 1);
    clients_[place] = std::make_unique<Client>(stream);
  }

  void readable(int stream) {
    auto& client = clients_[static_cast<std::size_t>(stream)];
    if (!read(*client)) client.reset();
  }

 private:
  /// Answers each head that has come whole. False: the connection ends.
  bool read(Client& client) {
    const ssize_t got =
        recv(client.stream, &client.head[client.filled], client.head.size() - client.filled, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    client.filled += static_cast<std::size_t>(got);
    std::string_view rest(client.head.data(), client.filled);
    out_.clear();
    bool stays = true;
    for (std::size_t heads = 0; stays; ++heads) {
      const std::size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      if (heads == kMostPipelined) return false;
      stays = rest.substr(0, end).find("Connection: close") == std::string_view::npos;
      out_ += stays ? kept_ : closed_;
      rest.remove_prefix(end + 4);
    }
    if (rest.size() == client.head.size()) return false;  // No head is so long.
    std::memmove(client.head.data(), rest.data(), rest.size());
    client.filled = rest.size();
    // A send buffer has room for kMostPipelined answers; a client that leaves none is none of ours.
    return out_.empty() || (send(client.stream, out_.data(), out_.size(), MSG_NOSIGNAL) ==
                                static_cast<ssize_t>(out_.size()) &&
                            stays);
  }

  std::vector<std::unique_ptr<Client>> clients_;  // By descriptor.
  std::string out_;
  const std::string kept_ = answer("Connection: keep-alive\r\n");
  const std::string closed_ = answer("Connection: close\r\n");
};

}  // namespace

int main(int argc, char** argv) {
  Clients clients;
  sluice::bench::KernelServer("bench_kernel_httpd", argc, argv, SOMAXCONN)
      .serve([&](int stream) { clients.accepted(stream); },
             [&](int stream) { clients.readable(stream); });
}
