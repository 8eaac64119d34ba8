// bench_clients: the kernel's own TCP as honest clients. They arrive at random times, whatever
// became of those before them; each connects, sends 4 octets, wants them back and closes. Ends with
// one line of JSON: how many of them were served within the bound, and how long they took.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <cxxopts.hpp>
#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "bench/wire/waits.hpp"

namespace sluice::bench {
namespace {

constexpr char kText[4] = {'H', 'u', 't', 'u'};
constexpr std::int64_t kNs = 1'000'000'000;

std::runtime_error failed(const std::string& what) {
  return std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNs + now.tv_nsec;
}

sockaddr_in socket_address(const std::string& text, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1)
    throw std::runtime_error("no IPv4 address: " + text);
  return address;
}

struct Options {
  sockaddr_in source{};
  sockaddr_in server{};
  double rate = 0;     ///< Arrivals a second.
  double seconds = 0;  ///< For so long they arrive.
  double bound = 0;    ///< Seconds after which one gives up.
};

struct Client {
  enum class State : std::uint8_t { kConnecting, kAwaitsEcho, kServed, kFailed };
  int descriptor = -1;
  State state = State::kConnecting;
  std::int64_t began_ns = 0;
  std::size_t received = 0;
};

class Clients {
 public:
  explicit Clients(const Options& options)
      : options_(options), rng_(static_cast<std::uint64_t>(now_ns())), epoll_(epoll_create1(0)) {
    if (epoll_ < 0) throw failed("epoll");
  }
  ~Clients() { close(epoll_); }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  void run() {
    const std::int64_t began = now_ns();
    const std::int64_t end = began + static_cast<std::int64_t>(options_.seconds * 1e9);
    std::int64_t next_arrival = began + gap();
    for (std::int64_t now = began; now < end || !waiting_.empty(); now = now_ns()) {
      for (; next_arrival <= now && next_arrival < end; next_arrival += gap()) arrive(next_arrival);
      give_up(now);
      wait(next_arrival < end ? next_arrival : std::max(end, now + kNs / 100));
    }
  }

  std::string json() const {
    return fmt::format(
        "{{\"clients\":{},\"connected\":{},\"served\":{},\"refused\":{},\"sent_again\":{},"
        "\"connect_us\":{},\"echo_us\":{}}}",
        clients_.size(), connects_.count(), echoes_.count(), refused_, sent_again_,
        connects_.json(clients_.size(), options_.bound * 1e6),
        echoes_.json(clients_.size(), options_.bound * 1e6));
  }

 private:
  /// Between arrivals of a Poisson process.
  std::int64_t gap() {
    const double uniform = (static_cast<double>(rng_.below(1u << 30)) + 1) / (1u << 30);
    return static_cast<std::int64_t>(-std::log(uniform) / options_.rate * 1e9);
  }

  /// A client's time begins when it was due, so that a late start of ours counts as waiting.
  void arrive(std::int64_t due_ns) {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) throw failed("a socket");
    const int on = 1;
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(descriptor, reinterpret_cast<const sockaddr*>(&options_.source),
             sizeof options_.source) != 0)
      throw failed("the clients' address");
    if (connect(descriptor, reinterpret_cast<const sockaddr*>(&options_.server),
                sizeof options_.server) != 0 &&
        errno != EINPROGRESS)
      throw failed("connect");
    epoll_event event{.events = EPOLLOUT, .data = {.u64 = clients_.size()}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) throw failed("epoll");
    waiting_.push_back(clients_.size());
    clients_.push_back({.descriptor = descriptor, .began_ns = due_ns});
  }

  void give_up(std::int64_t now) {
    const auto bound = static_cast<std::int64_t>(options_.bound * 1e9);
    while (!waiting_.empty()) {
      Client& oldest = clients_[waiting_.front()];
      if (oldest.descriptor >= 0) {
        if (now - oldest.began_ns < bound) return;
        finish(oldest, Client::State::kFailed);
      }
      waiting_.pop_front();
    }
  }

  void wait(std::int64_t until_ns) {
    const std::int64_t left = std::max<std::int64_t>(until_ns - now_ns(), 0);
    const timespec timeout{.tv_sec = left / kNs, .tv_nsec = left % kNs};
    std::array<epoll_event, 64> events;
    const int count =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    if (count < 0 && errno != EINTR) throw failed("epoll");
    for (int i = 0; i < count; ++i) {
      const std::size_t index = events[static_cast<std::size_t>(i)].data.u64;
      Client& client = clients_[index];
      if (client.state == Client::State::kConnecting)
        on_connected(client, index);
      else
        on_readable(client);
    }
  }

  void on_connected(Client& client, std::size_t index) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client.descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return refuse(client);
    connects_.add(static_cast<double>(now_ns() - client.began_ns) / 1e3);
    if (send(client.descriptor, kText, sizeof kText, MSG_NOSIGNAL) != sizeof kText)
      return refuse(client);
    client.state = Client::State::kAwaitsEcho;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, client.descriptor, &event);
  }

  void on_readable(Client& client) {
    char text[sizeof kText];
    const ssize_t got = recv(client.descriptor, text, sizeof text, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return refuse(client);
    if (std::memcmp(text, kText + client.received,
                    std::min<std::size_t>(static_cast<std::size_t>(got),
                                          sizeof kText - client.received)) != 0)
      throw std::runtime_error("other octets came back than were sent");
    client.received += static_cast<std::size_t>(got);
    if (client.received < sizeof kText) return;
    echoes_.add(static_cast<double>(now_ns() - client.began_ns) / 1e3);
    finish(client, Client::State::kServed);
  }

  void refuse(Client& client) {
    ++refused_;
    finish(client, Client::State::kFailed);
  }

  void finish(Client& client, Client::State state) {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (getsockopt(client.descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
        info.tcpi_total_retrans > 0)
      ++sent_again_;
    close(client.descriptor);
    client.descriptor = -1;
    client.state = state;
  }

  Options options_;
  Rng rng_;
  int epoll_;
  std::vector<Client> clients_;
  std::deque<std::size_t> waiting_;  // In order of arrival; some have ended.
  Waits connects_, echoes_;
  std::size_t refused_ = 0;
  std::size_t sent_again_ = 0;  ///< Clients whose kernel had to send a SYN or data once more.
};

int run(int argc, char** argv) {
  cxxopts::Options options("bench_clients", "Honest clients of an echo server");
  options.add_options()("source", "their address", cxxopts::value<std::string>())(
      "address", "the server's", cxxopts::value<std::string>())(
      "port", "the server's", cxxopts::value<std::uint16_t>()->default_value("7"))(
      "rate", "arrivals a second", cxxopts::value<double>()->default_value("200"))(
      "seconds", "for so long they arrive", cxxopts::value<double>()->default_value("1"))(
      "bound", "seconds until one gives up", cxxopts::value<double>()->default_value("3"));
  const auto given = options.parse(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Clients clients({.source = socket_address(given["source"].as<std::string>(), 0),
                   .server = socket_address(given["address"].as<std::string>(),
                                            given["port"].as<std::uint16_t>()),
                   .rate = given["rate"].as<double>(),
                   .seconds = given["seconds"].as<double>(),
                   .bound = given["bound"].as<double>()});
  clients.run();
  fmt::print("{}\n", clients.json());
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_clients: %s\n", error.what());
    return 2;
  }
}
