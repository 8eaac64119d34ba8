#pragma once

#include "packet/packet.hpp"
#include "sluice/rx_data.hpp"
#include "stack/stack.hpp"

namespace sluice::stack {

/// The bridge between the public RxData, which knows no mbuf, and the PacketChain inside it.
class RxChain {
 public:
  static RxData wrap(Stack* owner, ConnHandle connection, packet::PacketChain chain);
  /// The octets, charged from now on to this connection, whichever they came from.
  static packet::PacketChain take_charged_to(RxData& data, Stack* owner, ConnHandle connection);

  /// Lends the octets to a call that takes some of them: what it took is credited, the rest goes
  /// back to `data`.
  struct Loan {
    explicit Loan(RxData& data);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    packet::PacketChain chain;

   private:
    RxData& data_;
    std::uint32_t before_;
  };

 private:
  static packet::PacketChain take(RxData& data);
  static void put(RxData& data, packet::PacketChain chain);
};

}  // namespace sluice::stack
