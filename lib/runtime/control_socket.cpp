#include "runtime/control_socket.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/join.hpp"
#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

constexpr int kBacklog = 16;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw SetupError(fmt::format("control socket {}: the path is too long", path), 1);
  path.copy(address.sun_path, path.size());
  return address;
}

int make_socket() {
  return ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

bool bind_to(int fd, const std::string& path) {
  const sockaddr_un address = address_of(path);
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string error_line(std::string_view text) {
  return Json{{"error", text}}.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

/// One connection: a line comes in, a line goes out, and it ends.
class ControlSocket::Client {
 public:
  Client(int fd, Instant since) : fd_(fd), since_(since) {}
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  pollfd interest() const { return {fd_, static_cast<short>(is_answered() ? POLLOUT : POLLIN), 0}; }
  Instant since() const { return since_; }
  bool is_answered() const { return !reply_.empty(); }

  enum class Progress { kMore, kLine, kTooLong, kGone };
  /// Takes what has come of the line.
  Progress read(std::size_t most) {
    char octets[16384];
    for (;;) {
      const ssize_t count = ::recv(fd_, octets, sizeof octets, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN ? Progress::kMore : Progress::kGone;
      if (count == 0) return Progress::kGone;  // half a line, and no more to come
      const std::string_view chunk(octets, static_cast<std::size_t>(count));
      const std::size_t end = chunk.find('\n');
      line_ += chunk.substr(0, end);
      if (line_.size() > most) return Progress::kTooLong;
      if (end != std::string_view::npos) return Progress::kLine;
    }
  }
  std::string_view line() const { return line_; }

  /// Says that its command is begun now. False: it is not there to hear of it, nor will be.
  bool tell_begun() const {
    ssize_t count = 0;
    do {
      count = ::send(fd_, " ", 1, MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    return count == 1;
  }

  void reply(std::string text) {
    line_ = {};
    reply_ = std::move(text);
  }
  /// False once all is sent, or nobody is there to take it.
  bool write() {
    while (sent_ < reply_.size()) {
      const ssize_t count = ::send(fd_, reply_.data() + sent_, reply_.size() - sent_, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      sent_ += static_cast<std::size_t>(count);
    }
    return false;
  }

 private:
  int fd_;
  Instant since_;
  std::string line_;
  std::string reply_;
  std::size_t sent_ = 0;
};

ControlSocket::ControlSocket(std::string path, std::vector<ControlCommand> commands,
                             const Limits& limits)
    : path_(std::move(path)), commands_(std::move(commands)), limits_(limits) {
  fd_ = make_socket();
  if (fd_ < 0)
    throw SetupError(fmt::format("control socket {}: {}", path_, std::strerror(errno)), 1);
  try {
    listen();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

void ControlSocket::listen() {
  // The file gets the socket's mode: there is no moment at which others may open it.
  bool is_bound = ::fchmod(fd_, 0600) == 0 && bind_to(fd_, path_);
  if (!is_bound && errno == EADDRINUSE && is_stale() && ::unlink(path_.c_str()) == 0)
    is_bound = bind_to(fd_, path_);
  struct stat facts {};
  if (!is_bound || ::lstat(path_.c_str(), &facts) != 0 || ::listen(fd_, kBacklog) != 0)
    throw SetupError(
        fmt::format("control socket {}: {}{}", path_, std::strerror(errno),
                    errno == EADDRINUSE ? ": remove what stands there, or stop its owner" : ""),
        1);
  device_ = facts.st_dev;
  inode_ = facts.st_ino;
}

/// A socket stands at our path, and nobody listens there any more.
bool ControlSocket::is_stale() const {
  const int probe = make_socket();
  if (probe < 0) return false;
  const sockaddr_un address = address_of(path_);
  const bool is_refused =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  struct stat facts {};
  const bool is_socket = ::lstat(path_.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode);
  errno = EADDRINUSE;
  return is_refused && is_socket;
}

ControlSocket::~ControlSocket() {
  struct stat facts {};
  if (::lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ && facts.st_ino == inode_)
    ::unlink(path_.c_str());
  ::close(fd_);
}

void ControlSocket::serve(Instant now, Duration wait) {
  std::vector<pollfd> fds;
  fds.reserve(clients_.size() + 1);
  for (const auto& client : clients_) fds.push_back(client->interest());
  // Nobody is refused: who finds all places taken waits in the kernel's backlog.
  if (clients_.size() < limits_.clients) fds.push_back({fd_, POLLIN, 0});
  const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(wait.ms()));
  if (ready > 0 && fds.back().fd == fd_ && fds.back().revents != 0 && !accept_all(now))
    ::poll(nullptr, 0, static_cast<int>(wait.ms()));  // it stays ready: do not spin on it

  const auto is_over = [&](const std::unique_ptr<Client>& client) {
    const bool is_late = now - client->since() >= limits_.patience;
    if (!client->is_answered()) {
      switch (client->read(limits_.line_octets)) {
        case Client::Progress::kMore:
          if (!is_late) return false;
          client->reply(error_line("no whole line came in time: end a request with a newline"));
          break;
        case Client::Progress::kLine:
          if (!client->tell_begun()) return true;
          client->reply(answer(client->line()));
          break;
        case Client::Progress::kTooLong:
          client->reply(error_line(fmt::format(
              "a request has at most {} octets: send fewer things at once", limits_.line_octets)));
          break;
        case Client::Progress::kGone:
          return true;
      }
    }
    return !client->write() || is_late;
  };
  clients_.erase(std::remove_if(clients_.begin(), clients_.end(), is_over), clients_.end());
}

bool ControlSocket::accept_all(Instant now) {
  while (clients_.size() < limits_.clients) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
      clients_.push_back(std::make_unique<Client>(fd, now));
    else if (errno != EINTR && errno != ECONNABORTED)
      return errno == EAGAIN;
  }
  return true;
}

std::string ControlSocket::answer(std::string_view line) const {
  try {
    return execute(line).dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  } catch (const std::exception& error) {
    return error_line(error.what());
  }
}

Json ControlSocket::execute(std::string_view line) const {
  // What is nested deeper than any request would cost far more memory than its octets.
  const auto is_shallow = [](int depth, Json::parse_event_t, const Json&) { return depth < 4; };
  const Json request = Json::parse(line, is_shallow, false);
  if (!request.is_object()) throw CommandError("a request is one JSON object on one line");
  const auto name = request.find("command");
  if (name == request.end() || !name->is_string())
    throw CommandError("a request names its \"command\"");
  std::vector<std::string> known;
  for (const ControlCommand& command : commands_) {
    if (command.name == name->get_ref<const std::string&>()) return command.run(request);
    known.emplace_back(command.name);
  }
  throw CommandError(fmt::format("no command '{}' here; there are: {}",
                                 name->get_ref<const std::string&>(), join(known, ", ")));
}

}  // namespace sluice::runtime
