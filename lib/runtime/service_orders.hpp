#pragma once

// Orders that the application gives while the workers run: listen, unlisten, connect.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/orders.hpp"
#include "stack/handler_pool.hpp"

namespace sluice::runtime {

class ListenOrder final : public Order {
 public:
  /// Makes what the workers' listeners need, so that no worker allocates: memory for the handlers
  /// of `connections` each. `options` are a worker's share.
  ListenOrder(const ListenOptions& options,
              const std::function<std::unique_ptr<HandlerFactory>()>& make_factory,
              std::size_t workers, std::uint32_t connections);

  bool carry_out(const OrderSite& site) override;
  void undo(const OrderSite& site) override;
  /// " (address in use)" of the first that refused; empty: none did.
  std::string reason(std::span<const OrderFate> fates) const;

 private:
  struct Share {
    std::unique_ptr<stack::HandlerPool> pool;
    Listener listener;
    Error error = Error::kNoAnswer;
  };
  std::string congestion_;  ///< What the options' view shows.
  ListenOptions options_;
  std::vector<Share> shares_;
};

/// Cannot be taken back: who is late closes its listener when it can.
class UnlistenOrder final : public Order {
 public:
  UnlistenOrder(Port port, const std::optional<IpAddr>& address) : port_(port), address_(address) {}

  bool carry_out(const OrderSite& site) override { return site.stack.unlisten(port_, address_); }
  void undo(const OrderSite&) override {}
  bool is_all_or_nothing() const override { return false; }

 private:
  Port port_;
  std::optional<IpAddr> address_;
};
Result<void, Error> result_of_unlisten(std::span<const OrderFate> fates);

/// To one worker.
class ConnectOrder final : public Order {
 public:
  ConnectOrder(const ConnectOptions& options, StreamHandler* handler);

  bool carry_out(const OrderSite& site) override;
  void undo(const OrderSite& site) override;
  Result<void, Error> result(OrderFate fate) const;

 private:
  std::string congestion_;
  ConnectOptions options_;
  StreamHandler* handler_;
  Stream stream_;
  Error error_ = Error::kNoAnswer;
};

}  // namespace sluice::runtime
