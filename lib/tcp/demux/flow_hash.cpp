#include "tcp/demux/flow_hash.hpp"

#include <cstring>

namespace sluice::tcp {

namespace {

/// A 4-tuple in a row, and what may follow it.
class Message {
 public:
  explicit Message(const FlowKey& flow) {
    if (flow.is_v4()) {
      add((flow.local.words()[1] >> 32) | (flow.remote.words()[1] & ~std::uint64_t{0xffffffff}));
    } else {
      add(flow.local.octets());
      add(flow.remote.octets());
    }
    add(std::uint32_t{flow.local_port.value} | std::uint32_t{flow.remote_port.value} << 16);
  }
  template <class Value>
  void add(const Value& value) {
    std::memcpy(octets_ + length_, &value, sizeof value);
    length_ += sizeof value;
  }
  std::uint64_t hash(const HashKey& key) const { return keyed_hash(key, {octets_, length_}); }

 private:
  std::byte octets_[44];
  std::size_t length_ = 0;
};

}  // namespace

//= rfc9293#3.4.1 MUST-9
std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow) {
  return Message(flow).hash(key);
}

std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow, std::uint64_t more) {
  Message message(flow);
  message.add(more);
  return message.hash(key);
}

}  // namespace sluice::tcp
