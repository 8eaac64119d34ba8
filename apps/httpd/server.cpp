#include "server.hpp"

#include "connection.hpp"

namespace httpd {
namespace {

class ConnectionFactory final : public sluice::HandlerFactory {
 public:
  explicit ConnectionFactory(WorkerContext& worker) : worker_(worker) {}
  std::size_t object_size() const override { return sizeof(Connection); }
  std::size_t object_alignment() const override { return alignof(Connection); }
  sluice::StreamHandler* construct(void* memory) override {
    return ::new (memory) Connection(&worker_);
  }

 private:
  WorkerContext& worker_;
};

}  // namespace

std::unique_ptr<sluice::HandlerFactory> Server::factory(std::size_t index) {
  while (workers_.size() <= index) {
    stats_.push_back(std::make_unique<Stats>());
    workers_.push_back(std::make_unique<WorkerContext>(options_, *stats_.back(), stats_));
  }
  return std::make_unique<ConnectionFactory>(*workers_[index]);
}

}  // namespace httpd
