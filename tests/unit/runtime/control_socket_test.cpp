#include "runtime/control_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

using Catch::Matchers::Contains;

std::vector<ControlCommand> commands() {
  return {{"sum",
           [](const Json& request) -> Json {
             if (!request.contains("terms")) throw CommandError("sum: which \"terms\"?");
             std::int64_t sum = 0;
             for (const Json& term : request["terms"]) sum += term.get<std::int64_t>();
             return {{"sum", sum}};
           }},
          {"fill", [](const Json& request) -> Json {
             return {{"text", std::string(request["octets"].get<std::size_t>(), 'x')}};
           }}};
}

/// A client that never blocks, so that it and the server share the test's thread.
class Peer {
 public:
  explicit Peer(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    is_connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Peer() { hang_up(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool is_connected() const { return is_connected_; }
  /// Gives how many octets were taken.
  std::size_t say(std::string_view text) {
    const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
  }
  /// Takes what has come. `is_over()` then says whether the server hung up.
  std::string& hear() {
    char octets[65536];
    for (;;) {
      const ssize_t count = ::recv(fd_, octets, sizeof octets, 0);
      if (count > 0) {
        heard_.append(octets, static_cast<std::size_t>(count));
        continue;
      }
      is_over_ = count == 0 || errno != EAGAIN;
      return heard_;
    }
  }
  bool is_over() const { return is_over_; }
  void shut_receiving() { ::shutdown(fd_, SHUT_RD); }
  void shut_sending() { ::shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  bool is_connected_ = false;
  bool is_over_ = false;
  std::string heard_;
};

struct Server {
  explicit Server(ControlSocket::Limits limits = {}) : socket(path, all(), limits) {}
  std::vector<ControlCommand> all() {
    std::vector<ControlCommand> all = commands();
    all.push_back({"count", [this](const Json&) -> Json {
                     on_call();
                     return {{"calls", ++calls}};
                   }});
    return all;
  }
  int calls = 0;
  std::function<void()> on_call = [] {};
  std::string path = "/tmp/sluice-unit-control." + std::to_string(::getpid());
  Instant now = Instant::from_ns(1'000'000'000);
  ControlSocket socket;

  void serve() { socket.serve(now, Duration::zero()); }
  /// One request and its reply, whole.
  std::string ask(std::string_view line) {
    Peer peer(path);
    CHECK(peer.say(line) == line.size());
    serve();
    const std::string heard = peer.hear();
    CHECK(peer.is_over());
    CHECK((!heard.empty() && heard.find('\n') == heard.size() - 1));
    return heard.substr(heard.starts_with(' ') ? 1 : 0);
  }
};

}  // namespace

TEST_CASE("a request of one line gets a reply of one line, and the connection ends",
          "[runtime][control]") {
  Server server;
  CHECK(server.ask("{\"command\": \"sum\", \"terms\": [1, 2, 39]}\n") == "{\"sum\":42}\n");
  CHECK(server.ask("{\"command\":\"sum\",\"terms\":[]}\nwhat follows is not read\n") ==
        "{\"sum\":0}\n");
  CHECK(server.socket.client_count() == 0);
}

TEST_CASE("what is no request is told so, in one line of JSON", "[runtime][control]") {
  Server server;
  const std::string no_object = "{\"error\":\"a request is one JSON object on one line\"}\n";
  CHECK(server.ask("\n") == no_object);
  CHECK(server.ask("sum 1 2\n") == no_object);
  CHECK(server.ask("{\"command\": \"sum\"\n") == no_object);
  CHECK(server.ask("[{\"command\": \"sum\"}]\n") == no_object);
  CHECK(server.ask("\xff\xfe\n") == no_object);
  CHECK(server.ask(std::string(100'000, '[') + "\n") == no_object);
  CHECK_THAT(server.ask("{\"terms\": [1]}\n"), Contains("names its \\\"command\\\""));
  CHECK_THAT(server.ask("{\"command\": 7}\n"), Contains("names its \\\"command\\\""));
  CHECK(server.ask("{\"command\": \"summe\"}\n") ==
        "{\"error\":\"no command 'summe' here; there are: sum, fill, count\"}\n");
}

TEST_CASE("a command's complaint is its reply", "[runtime][control]") {
  Server server;
  CHECK(server.ask("{\"command\": \"sum\"}\n") == "{\"error\":\"sum: which \\\"terms\\\"?\"}\n");
  CHECK_THAT(server.ask("{\"command\": \"sum\", \"terms\": [\"one\"]}\n"), Contains("\"error\":"));
  CHECK(server.ask("{\"command\": \"sum\", \"terms\": [1]}\n") == "{\"sum\":1}\n");
}

TEST_CASE("a line may come in pieces, and beside others", "[runtime][control]") {
  Server server;
  Peer slow(server.path), quick(server.path);
  slow.say("{\"command\": \"sum\",");
  server.serve();
  quick.say("{\"command\": \"sum\", \"terms\": [1, 1]}\n");
  server.serve();
  CHECK(quick.hear() == " {\"sum\":2}\n");
  CHECK(quick.is_over());
  CHECK(slow.hear().empty());
  CHECK_FALSE(slow.is_over());
  slow.say(" \"terms\": [20]}\n");
  server.serve();
  CHECK(slow.hear() == " {\"sum\":20}\n");
}

TEST_CASE("half a line and silence is told so when its time is over", "[runtime][control]") {
  Server server;
  Peer hung(server.path);
  hung.say("{\"command\": ");
  server.serve();
  server.now = server.now + Duration::from_ms(4999);
  server.serve();
  CHECK(hung.hear().empty());
  CHECK(server.socket.client_count() == 1);
  server.now = server.now + Duration::from_ms(1);
  server.serve();
  CHECK_THAT(hung.hear(), Contains("no whole line came in time"));
  CHECK(hung.is_over());
  CHECK(server.socket.client_count() == 0);
}

TEST_CASE("what nobody waits for any more is not done", "[runtime][control]") {
  Server server;
  const std::string request = "{\"command\": \"count\"}\n";
  Peer gone(server.path), deaf(server.path);
  gone.say(request);
  deaf.say(request);
  gone.hang_up();
  deaf.shut_receiving();
  server.serve();
  server.serve();
  CHECK(server.socket.client_count() == 0);
  CHECK(deaf.hear().empty());
  // Who has only said all that it has to say does wait.
  Peer mute(server.path);
  mute.say(request);
  mute.shut_sending();
  server.serve();
  CHECK(mute.hear() == " {\"calls\":1}\n");
}

TEST_CASE("a client hears that its command is begun before what became of it",
          "[runtime][control]") {
  Server server;
  Peer peer(server.path);
  server.on_call = [&] { CHECK(peer.hear() == " "); };
  peer.say("{\"command\": \"count\"}\n");
  server.serve();
  CHECK(peer.hear() == " {\"calls\":1}\n");
}

TEST_CASE("half a line and hanging up is nothing at all", "[runtime][control]") {
  Server server;
  Peer gone(server.path);
  gone.say("{\"command\": ");
  server.serve();
  CHECK(server.socket.client_count() == 1);
  gone.hang_up();
  server.serve();
  CHECK(server.socket.client_count() == 0);
}

TEST_CASE("a line beyond its limit is refused at once", "[runtime][control]") {
  Server server({.line_octets = 100});
  const std::string prefix = "{\"command\": \"sum\", \"terms\": [";
  const std::string fits = prefix + std::string(100 - prefix.size() - 2, ' ') + "]}";
  CHECK(server.ask(fits + "\n") == "{\"sum\":0}\n");
  CHECK(server.ask(fits + " \n") ==
        "{\"error\":\"a request has at most 100 octets: send fewer things at once\"}\n");
  CHECK_THAT(server.ask(std::string(101, 'x')), Contains("at most 100 octets"));
}

TEST_CASE("clients beyond the limit wait until a place is free", "[runtime][control]") {
  Server server({.clients = 2});
  Peer first(server.path), second(server.path), third(server.path);
  third.say("{\"command\": \"sum\", \"terms\": [3]}\n");
  server.serve();
  server.serve();
  CHECK(server.socket.client_count() == 2);
  CHECK(third.hear().empty());
  CHECK_FALSE(third.is_over());
  first.hang_up();
  server.serve();
  server.serve();
  CHECK(third.hear() == " {\"sum\":3}\n");
}

TEST_CASE("a reply is sent as its reader takes it, and given up when its time is over",
          "[runtime][control]") {
  Server server;
  Peer reader(server.path), sleeper(server.path);
  const std::string request = "{\"command\": \"fill\", \"octets\": 3000000}\n";
  reader.say(request);
  sleeper.say(request);
  for (int i = 0; i < 10'000 && !reader.is_over(); ++i) {
    server.serve();
    reader.hear();
  }
  CHECK(reader.hear().size() == 3'000'000 + std::string(" {\"text\":\"\"}\n").size());
  CHECK(server.socket.client_count() == 1);
  server.now = server.now + Duration::from_s(5);
  server.serve();
  CHECK(server.socket.client_count() == 0);
  sleeper.hear();
  CHECK(sleeper.is_over());
}

TEST_CASE("the control socket is its user's alone, whatever the umask", "[runtime][control]") {
  for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    const mode_t before = ::umask(mask);
    Server server;
    ::umask(before);
    struct stat facts {};
    REQUIRE(::lstat(server.path.c_str(), &facts) == 0);
    CHECK(S_ISSOCK(facts.st_mode));
    CHECK((facts.st_mode & 07777) == 0600);
  }
}

TEST_CASE("the control socket's file goes with it, unless it is another's", "[runtime][control]") {
  std::string path;
  {
    const Server server;
    path = server.path;
    CHECK(::access(path.c_str(), F_OK) == 0);
  }
  CHECK(::access(path.c_str(), F_OK) != 0);

  std::optional<Server> first(std::in_place);
  ::unlink(path.c_str());
  Server second;
  first.reset();
  CHECK(second.ask("{\"command\": \"sum\", \"terms\": [2]}\n") == "{\"sum\":2}\n");
}

TEST_CASE("what a dead server left is replaced, what a living one holds is not",
          "[runtime][control]") {
  const std::string path = "/tmp/sluice-unit-control." + std::to_string(::getpid());
  {
    const int left = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(left, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::close(left);
  }
  Server server;
  CHECK_THROWS_WITH(Server(), Contains(path) && Contains("stop its owner"));
  CHECK(server.ask("{\"command\": \"sum\", \"terms\": [7]}\n") == "{\"sum\":7}\n");
}

TEST_CASE("a file that is no socket is left alone", "[runtime][control]") {
  const std::string path = "/tmp/sluice-unit-control." + std::to_string(::getpid());
  const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  ::close(file);
  CHECK_THROWS_AS(Server(), SetupError);
  CHECK(::access(path.c_str(), F_OK) == 0);
  ::unlink(path.c_str());
  CHECK_THROWS_WITH(ControlSocket(std::string(200, 'x'), commands()), Contains("too long"));
}

}  // namespace sluice::runtime
