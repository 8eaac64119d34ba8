#pragma once

// Where a running server takes commands of its operator: a Unix stream socket that only its user
// and root may open. A client connects, sends one line of JSON, gets one line of JSON:
//
//   {"command": "gate.deny", "prefixes": ["203.0.113.0/24"]}   ->   {"rules": 1, ...}
//                                                              or   {"error": "..."}
//
// Before a command is begun, its client is sent a blank, which JSON skips. Where that cannot be
// delivered, because the client has closed, or has shut its receiving side, nothing is done. So a
// client that gives up shuts its receiving side, and then knows: without a blank in what had come
// until then, the command will never be done.

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

namespace sluice::runtime {

using Json = nlohmann::ordered_json;

/// Thrown by a command: the text becomes the reply's "error". It says what the operator can do.
class CommandError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ControlCommand {
  std::string_view name;
  /// Takes the whole request, an object; gives the reply, an object.
  std::function<Json(const Json& request)> run;
};

/// Lives on one thread. A client that is slow, silent or rude costs the others nothing but its
/// place: its line and its time are bounded.
class ControlSocket {
 public:
  struct Limits {
    std::size_t line_octets = 4 << 20;        ///< A request; 65,536 prefixes fit.
    std::size_t clients = 8;                  ///< More wait to be accepted.
    Duration patience = Duration::from_s(5);  ///< From connecting to having taken the reply.
  };

  /// Listens at `path`, with mode 0600. A socket there on which nobody listens is replaced. Throws
  /// SetupError.
  ControlSocket(std::string path, std::vector<ControlCommand> commands, const Limits& limits);
  ControlSocket(std::string path, std::vector<ControlCommand> commands)
      : ControlSocket(std::move(path), std::move(commands), Limits{}) {}
  /// Removes the file.
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Serves whoever has come; waits at most `wait` for somebody.
  void serve(Instant now, Duration wait);
  std::size_t client_count() const { return clients_.size(); }

 private:
  class Client;

  void listen();
  bool is_stale() const;
  /// False: somebody waits who cannot be accepted (no file descriptor is free).
  bool accept_all(Instant now);
  /// The reply to a line, as a line.
  std::string answer(std::string_view line) const;
  Json execute(std::string_view line) const;

  std::string path_;
  std::vector<ControlCommand> commands_;
  Limits limits_;
  int fd_ = -1;
  dev_t device_ = 0;  ///< With `inode_`: which file is ours.
  ino_t inode_ = 0;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace sluice::runtime
