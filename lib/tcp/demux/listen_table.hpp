#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/handle.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// Listeners of one worker: found by port in one array access, then by address. An exact address
/// wins over "any".
class ListenTable {
 public:
  ListenTable() = default;
  explicit ListenTable(std::span<ListenerRecord> records);

  /// kNone if the table is full or address and port are taken.
  ListenerHandle open(const IpAddr& address, Port port);
  void close(std::uint16_t index);

  /// Index of the listener for a segment to (address, port); ListenerHandle::kNone if none.
  std::uint16_t find(const IpAddr& address, Port port) const {
    std::uint16_t any = ListenerHandle::kNone;
    for (std::uint16_t at = first_[port.value]; at != ListenerHandle::kNone; at = next_[at]) {
      if (records_[at].address == address) return at;
      if (records_[at].address.is_unspecified()) any = at;
    }
    return any;
  }
  bool is_listening(Port port) const { return first_[port.value] != ListenerHandle::kNone; }
  /// Null if the handle is stale.
  ListenerRecord* get(ListenerHandle handle);
  ListenerRecord& operator[](std::uint16_t index) { return records_[index]; }
  const ListenerRecord& operator[](std::uint16_t index) const { return records_[index]; }
  std::uint16_t size() const { return static_cast<std::uint16_t>(records_.size()); }

 private:
  std::span<ListenerRecord> records_;
  std::vector<std::uint16_t> first_;  ///< By port: first record.
  std::vector<std::uint16_t> next_;   ///< By record: next of the same port.
};

}  // namespace sluice::tcp
