#include "runtime/service_orders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::runtime {

ListenOrder::ListenOrder(const ListenOptions& options,
                         const std::function<std::unique_ptr<HandlerFactory>()>& make_factory,
                         std::size_t workers, std::uint32_t connections)
    : congestion_(options.congestion), options_(options), shares_(workers) {
  options_.congestion = congestion_;
  for (Share& share : shares_)
    share.pool = std::make_unique<stack::HandlerPool>(make_factory(), connections);
}

bool ListenOrder::carry_out(const OrderSite& site) {
  Share& share = shares_[site.worker];
  const auto listener = site.stack.listen(options_, std::move(share.pool));
  if (listener)
    share.listener = *listener;
  else
    share.error = listener.error();
  return listener.has_value();
}

void ListenOrder::undo(const OrderSite& site) {
  static_cast<void>(shares_[site.worker].listener.close());
}

std::string ListenOrder::reason(std::span<const OrderFate> fates) const {
  for (std::size_t worker = 0; worker < shares_.size(); ++worker)
    if (fates[worker] == OrderFate::kRefused)
      return fmt::format(" ({})", to_string(shares_[worker].error));
  return {};
}

Result<void, Error> result_of_unlisten(std::span<const OrderFate> fates) {
  const auto has = [&](OrderFate fate) {
    return std::find(fates.begin(), fates.end(), fate) != fates.end();
  };
  if (has(OrderFate::kPending) || has(OrderFate::kSilent)) return fail(Error::kNoAnswer);
  if (!has(OrderFate::kDone)) return fail(Error::kInvalidArgument);
  return {};
}

ConnectOrder::ConnectOrder(const ConnectOptions& options, StreamHandler* handler)
    : congestion_(options.congestion), options_(options), handler_(handler) {
  options_.congestion = congestion_;
}

bool ConnectOrder::carry_out(const OrderSite& site) {
  const auto stream = site.stack.worker().connect(options_, handler_);
  if (stream)
    stream_ = *stream;
  else
    error_ = stream.error();
  return stream.has_value();
}

void ConnectOrder::undo(const OrderSite&) {
  // Who asked was told that nothing came of it: the handler may be gone.
  static_cast<void>(stream_.set_handler(nullptr));
  static_cast<void>(stream_.abort());
}

Result<void, Error> ConnectOrder::result(OrderFate fate) const {
  switch (fate) {
    case OrderFate::kDone:
      return {};
    case OrderFate::kRefused:
      return fail(error_);
    case OrderFate::kUndone:
    case OrderFate::kSilent:
    case OrderFate::kPending:
    case OrderFate::kKept:
      return fail(Error::kNoAnswer);
  }
  return fail(Error::kNoAnswer);
}

}  // namespace sluice::runtime
