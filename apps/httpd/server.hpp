#pragma once

#include <memory>
#include <vector>

#include "worker_context.hpp"

namespace httpd {

/// Makes what each worker needs, and connections that know their worker's. Outlives the runtime's
/// run(). All calls but those of factories come before it.
class Server {
 public:
  explicit Server(Options options) : options_(std::move(options)) {}

  /// The factory of worker `index` for one listener.
  std::unique_ptr<sluice::HandlerFactory> factory(std::size_t index);
  const Stats& stats(std::size_t index) const { return *stats_.at(index); }

 private:
  Options options_;
  std::vector<std::unique_ptr<Stats>> stats_;
  std::vector<std::unique_ptr<WorkerContext>> workers_;
};

}  // namespace httpd
