#include "apps/ctl/control_client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr time_t kPatienceSeconds = 10;

[[noreturn]] void refuse(const Instance& instance, std::string_view text) {
  throw std::runtime_error(fmt::format("instance '{}' {}", instance.name, text));
}

[[noreturn]] void refuse(const Instance& instance, const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      refuse(instance, fmt::format("takes no commands: there is no {}. It is starting, ending, or "
                                   "of an older version",
                                   path));
    case ECONNREFUSED:
      refuse(instance, fmt::format("takes no commands: nobody listens at {}", path));
    case EACCES:
    case EPERM:
      refuse(instance, "may be changed by root and its own user only");
    case EAGAIN:
    case EINPROGRESS:
      refuse(instance,
             fmt::format("does not answer within {} s, and will not do it later: is its process "
                         "stopped, or without CPU? See 'Last round' of 'sluicectl instances'",
                         kPatienceSeconds));
    default:
      refuse(instance, fmt::format("cannot be asked by {}: {}", path, std::strerror(error)));
  }
}

/// A connection to the socket at `path`, every wait on it bounded.
class Connection {
 public:
  Connection(const Instance& instance, std::string path)
      : instance_(instance), path_(std::move(path)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) refuse(instance_, path_, ENAMETOOLONG);
    path_.copy(address.sun_path, path_.size());
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{kPatienceSeconds, 0};
    if (fd_ < 0 || ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      if (fd_ >= 0) ::close(fd_);
      refuse(instance_, path_, error);
    }
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      // Who hung up while we were speaking has said why: that is read next.
      if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
      if (count < 0) refuse(instance_, path_, errno);
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  /// What comes up to a line's end, or to the connection's.
  std::string receive() {
    std::string text;
    char octets[65536];
    while (text.empty() || text.back() != '\n') {
      const ssize_t count = ::recv(fd_, octets, sizeof octets, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) give_up(text);
      if (count < 0 && errno != ECONNRESET) refuse(instance_, path_, errno);
      if (count <= 0) break;
      text.append(octets, static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  /// Says no more than is known: from here on the server cannot begin, and a blank that came tells
  /// that it had (lib/runtime/control_socket.hpp).
  [[noreturn]] void give_up(const std::string& heard) const {
    ::shutdown(fd_, SHUT_RD);
    char octet = 0;
    if (heard.empty() && ::recv(fd_, &octet, 1, MSG_DONTWAIT) <= 0)
      refuse(instance_, path_, EAGAIN);
    refuse(instance_,
           fmt::format("began and does not say within {} s that it is done: look what holds before "
                       "you ask again. See 'Last round' of 'sluicectl instances', too",
                       kPatienceSeconds));
  }

  const Instance& instance_;
  std::string path_;
  int fd_ = -1;
};

}  // namespace

Json ask(const Instance& instance, const Json& request) {
  if (!instance.is_alive) refuse(instance, "is dead: it takes no commands");
  Connection connection(instance, telemetry::control_socket_path(instance.name));
  connection.send(request.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
  Json reply = Json::parse(connection.receive(), nullptr, false);
  if (!reply.is_object()) refuse(instance, "hung up without an answer: it is ending");
  if (const auto error = reply.find("error"); error != reply.end())
    refuse(instance,
           fmt::format("refuses: {}",
                       error->is_string() ? error->get_ref<const std::string&>() : error->dump()));
  return reply;
}

Instance open_for_change(const std::string& name, Streams streams) {
  std::vector<Instance> instances = open_instances(name, streams);
  if (!name.empty()) return std::move(instances.front());
  Instance* only = nullptr;
  std::string names;
  std::size_t living = 0;
  for (Instance& instance : instances) {
    if (!instance.is_alive) continue;
    ++living;
    only = &instance;
    names += (names.empty() ? "" : ", ") + instance.name;
  }
  if (living == 0) throw std::runtime_error("no instance lives");
  if (living > 1)
    throw UsageError(fmt::format("which instance? There are {} (--instance NAME)", names));
  return std::move(*only);
}

}  // namespace sluice::ctl
