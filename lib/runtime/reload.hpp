#pragma once

// Reading the configuration again while the server runs (SIGHUP, sluicectl reload): keys that may
// change come into force on all workers or on none, the others are named.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/config.hpp"
#include "runtime/control_socket.hpp"
#include "runtime/loop_options.hpp"
#include "runtime/orders.hpp"

namespace sluice::runtime {

struct ReloadPlan {
  Config config;                           ///< What is to hold from now on.
  std::vector<std::string> changed;        ///< Keys whose new value is in it.
  std::vector<std::string> needs_restart;  ///< Keys whose new value is not.
};
ReloadPlan plan_reload(const Config& current, const Config& next);

class Reloader {
 public:
  /// What is referred to outlives the Reloader.
  struct Deps {
    Orders& orders;
    std::string file;              ///< Empty: the program was given none.
    std::function<Config()> read;  ///< The file and the flags again; throws SetupError.
    Config config;                 ///< What they said at the start, ...
    stack::StackConfig stack;      ///< ... and what was made of it, for each worker.
    LoopOptions loop;
  };
  explicit Reloader(Deps deps) : deps_(std::move(deps)) {}

  /// Gives {"file": F, "changed": [keys], "needs_restart": [keys]}. Throws CommandError, and
  /// nothing has changed: FILE:LINE and what is wrong there, or a worker that does not answer.
  Json run();

 private:
  Deps deps_;
};

/// While it lives, SIGHUP asks for a reload. One at a time in a process.
class ReloadSignal {
 public:
  ReloadSignal();
  ~ReloadSignal();
  ReloadSignal(const ReloadSignal&) = delete;
  ReloadSignal& operator=(const ReloadSignal&) = delete;

  /// True once after signals came.
  static bool take();

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

}  // namespace sluice::runtime
