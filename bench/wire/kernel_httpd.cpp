// bench_kernel_httpd: the least that an HTTP/1.1 server on the kernel's TCP can be, to compare
// with: one thread, epoll, 64 octets for any request without a body, Connection: close obeyed. What
// the kernel takes of its core is all but the whole. Runs until it is killed.

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
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kBody = 64;
constexpr std::size_t kLongestHead = 4096;
constexpr std::size_t kMostPipelined = 64;  // Answers that one send() has room for.

void die(const char* what) {
  fmt::print(stderr, "bench_kernel_httpd: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

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

class Server {
 public:
  explicit Server(std::uint16_t port) : listener_(listen_at(port)), epoll_(epoll_create1(0)) {
    if (epoll_ < 0) die("epoll");
    watch(listener_);
  }

  void serve() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) die("epoll");
      for (int i = 0; i < count; ++i) {
        const int ready = events[static_cast<std::size_t>(i)].data.fd;
        if (ready == listener_)
          accept_all();
        else if (auto& client = clients_[static_cast<std::size_t>(ready)]; !read(*client))
          client.reset();  // Closing takes it out of epoll.
      }
    }
  }

 private:
  static int listen_at(std::uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) die("a socket");
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
    if (listen(listener, SOMAXCONN) != 0) die("listen");
    return listener;
  }

  void watch(int descriptor) const {
    epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) die("epoll");
  }

  void accept_all() {
    for (;;) {
      const int stream = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (stream < 0) return;
      const int on = 1;
      setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const auto place = static_cast<std::size_t>(stream);
      if (place >= clients_.size()) clients_.resize(place + 1);
      clients_[place] = std::make_unique<Client>(stream);
      watch(stream);
    }
  }

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

  int listener_, epoll_;
  std::vector<std::unique_ptr<Client>> clients_;  // By descriptor.
  std::string out_;
  const std::string kept_ = answer("Connection: keep-alive\r\n");
  const std::string closed_ = answer("Connection: close\r\n");
};

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port < 1 || port > 65535) {
    fmt::print(stderr, "usage: bench_kernel_httpd PORT\n");
    return 2;
  }
  Server(static_cast<std::uint16_t>(port)).serve();
}
