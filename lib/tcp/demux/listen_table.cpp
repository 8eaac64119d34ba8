#include "tcp/demux/listen_table.hpp"

#include <algorithm>

namespace sluice::tcp {

ListenTable::ListenTable(std::span<ListenerRecord> records)
    : records_(records),
      first_(65536, ListenerHandle::kNone),
      next_(records.size(), ListenerHandle::kNone) {}

ListenerHandle ListenTable::open(const IpAddr& address, Port port) {
  for (std::uint16_t at = first_[port.value]; at != ListenerHandle::kNone; at = next_[at])
    if (records_[at].address == address) return {};
  const auto free = std::find_if(records_.begin(), records_.end(),
                                 [](const ListenerRecord& record) { return !record.is_open; });
  if (free == records_.end()) return {};
  const auto index = static_cast<std::uint16_t>(free - records_.begin());
  ListenerRecord& record = *free;
  const auto generation = static_cast<std::uint16_t>(record.generation + 1);
  record.version.begin_write();
  renew_record(record);
  record.address = address;
  record.port = port.value;
  record.generation = generation;
  record.is_open = 1;
  record.accept_head = record.accept_tail = kNoIndex;
  record.version.end_write();
  next_[index] = first_[port.value];
  first_[port.value] = index;
  return {index, generation};
}

void ListenTable::close(std::uint16_t index) {
  ListenerRecord& record = records_[index];
  std::uint16_t* link = &first_[record.port];
  while (*link != index) link = &next_[*link];
  *link = next_[index];
  record.version.begin_write();
  record.is_open = 0;
  record.version.end_write();
}

ListenerRecord* ListenTable::get(ListenerHandle handle) {
  if (handle.index >= records_.size()) return nullptr;
  ListenerRecord& record = records_[handle.index];
  return record.is_open && record.generation == handle.generation ? &record : nullptr;
}

}  // namespace sluice::tcp
