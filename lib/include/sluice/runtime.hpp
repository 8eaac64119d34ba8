#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "listener.hpp"
#include "message.hpp"
#include "stream.hpp"
#include "worker.hpp"

namespace sluice {

/// Set-up failed; what() is one line that says what is wrong and what to do. exit_code(): 2 mistake
/// in flags or configuration, 1 a machine that cannot do what was asked, 0 stopped by a signal.
class SetupError : public std::exception {
 public:
  SetupError(std::string line, int exit_code);
  ~SetupError() override;
  const char* what() const noexcept override { return line_.c_str(); }
  int exit_code() const { return exit_code_; }

 private:
  std::string line_;
  int exit_code_;
};

/// A program's own command-line option, shown in --help beside Sluice's.
struct ProgramOption {
  std::string name;                ///< Without dashes.
  std::string help;                ///< With the unit.
  std::string default_value = {};  ///< As shown and parsed.
  std::string argument = "VALUE";  ///< What --help calls it.
  std::string bare_value = {};     ///< Of the flag without "=VALUE"; empty: it needs one.
};

/// What the program says of itself.
struct ProgramInfo {
  std::string name;
  std::string summary = {};
  std::vector<Port> default_ports = {};  ///< --listen replaces them.
  std::vector<ProgramOption> options = {};
  /// "KEY=VALUE" of the configuration: this program's own defaults, which file and flags override.
  std::vector<std::string> config_defaults = {};
  std::string notes = {};  ///< What --help ends with: examples.
};

/// Owns EAL, ports, workers, the state region and the configuration of a process.
class Runtime {
 public:
  /// Reads flags and the configuration file, sets everything up. --help and --version print and
  /// exit(0). Throws SetupError.
  static Runtime from_command_line(int argc, const char* const* argv, ProgramInfo info = {});

  Runtime(Runtime&&) noexcept;
  Runtime& operator=(Runtime&&) noexcept;
  ~Runtime();

  /// Ports to listen on: --listen, else the file's, else the program's defaults.
  const std::vector<Port>& listen_ports() const;
  /// Value of a ProgramOption.
  const std::string& option(const std::string& name) const;
  unsigned worker_count() const;
  /// Our own addresses, in the order of the configuration.
  std::vector<IpAddr> addresses() const;

  /// Every worker listens; each connection gets its own Handler(args...). Throws SetupError. While
  /// run() runs, too, from any thread but a worker's (which would wait for itself: it has
  /// Worker::listen): then each worker does so between two bursts, all of them or none.
  template <class Handler, class... Args>
  requires std::derived_from<Handler, StreamHandler>
  void listen(const ListenOptions& options, const Args&... args) {
    listen_each(options, [=]() -> std::unique_ptr<HandlerFactory> {
      return std::make_unique<FactoryOf<Handler, std::decay_t<Args>...>>(args...);
    });
  }
  /// The same, with a factory for each worker.
  void listen_each(const ListenOptions& options,
                   const std::function<std::unique_ptr<HandlerFactory>()>& make_factory);
  /// Closes the listeners of this very port and address on every worker, as Listener::close does:
  /// accepted connections stay. From where listen() may be called. kInvalidArgument: no worker has
  /// such. kNoAnswer: one that hangs does so when it runs again.
  Result<void, Error> unlisten(Port port, const std::optional<IpAddr>& address = {});
  /// Worker `worker` connects; `handler` (borrowed) hears on_open, or on_closed with the reason.
  /// From where listen() may be called. Errors as Worker::connect; kInvalidArgument: no such
  /// worker; kNoAnswer: it will not connect.
  Result<void, Error> connect(unsigned worker, const ConnectOptions& options,
                              StreamHandler* handler);
  /// Posts to worker `to` from a thread that is no worker's, as Worker::post does from one that is.
  /// Such threads take turns. There is no on_post_room here: after kWouldBlock try again later.
  Result<void, Error> post(unsigned to, const Message& message);
  template <MessageValue T>
  Result<void, Error> post(unsigned to, const T& value) {
    return post(to, Message(value));
  }
  unsigned workers() const;
  /// Runs `start` on each worker, on its thread, before it polls: to connect, set timers,
  /// pull-listen, hear messages.
  void on_worker_start(std::function<void(Worker)> start);

  /// Serves until SIGINT or SIGTERM, then drains: no new connections, FIN to idle ones, a
  /// deadline (runtime.drain_timeout), then RST; a second such signal resets at once. Gives the
  /// exit code: 0 all ended by themselves, 3 some were reset.
  int run();
  /// Asks run() to drain; from any thread or a signal handler.
  void request_stop() noexcept;

 private:
  template <class Handler, class... Args>
  class FactoryOf final : public HandlerFactory {
   public:
    explicit FactoryOf(const Args&... args) : args_(args...) {}
    std::size_t object_size() const override { return sizeof(Handler); }
    std::size_t object_alignment() const override { return alignof(Handler); }
    StreamHandler* construct(void* memory) override {
      return std::apply([&](const Args&... args) { return ::new (memory) Handler(args...); },
                        args_);
    }

   private:
    std::tuple<Args...> args_;
  };

  struct Impl;
  explicit Runtime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Runs `body`: a main(). Gives what it gives; an exception from it, or from the set-up before it,
/// becomes one line on standard error, behind the program's name, and the exit code: a
/// SetupError's own (1 or 2), 1 for any other std::exception.
int run_program(int argc, const char* const* argv, ProgramInfo info,
                const std::function<int(Runtime&)>& body);

}  // namespace sluice
