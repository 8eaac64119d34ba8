#include "sluice/rx_data.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "stack/impl.hpp"
#include "stack/rx_chain.hpp"

namespace sluice {
namespace stack {

RxData RxChain::wrap(Stack* owner, ConnHandle connection, packet::PacketChain chain) {
  RxData data;
  data.owner_ = owner;
  data.connection_ = connection;
  put(data, std::move(chain));
  return data;
}

void RxChain::put(RxData& data, packet::PacketChain chain) {
  const auto parts = chain.release();
  data.head_ = parts.head;
  data.tail_ = parts.tail;
  data.bytes_ = parts.bytes;
  data.segments_ = parts.segments;
}

packet::PacketChain RxChain::take_charged_to(RxData& data, Stack* owner, ConnHandle connection) {
  packet::PacketChain chain = take(data);
  if (data.owner_ == owner && data.connection_ == connection) return chain;
  tcp::credit(data.owner_->impl().engine.context(), data.connection_, chain.bytes());
  tcp::charge(owner->impl().engine.context(), connection, chain.bytes());
  return chain;
}

packet::PacketChain RxChain::take(RxData& data) {
  return packet::PacketChain(packet::PacketChain::Parts{
      std::exchange(data.head_, nullptr), std::exchange(data.tail_, nullptr),
      std::exchange(data.bytes_, 0), std::exchange(data.segments_, 0)});
}

RxChain::Loan::Loan(RxData& data) : chain(take(data)), data_(data), before_(chain.bytes()) {}

RxChain::Loan::~Loan() {
  const std::uint32_t taken = before_ - chain.bytes();
  put(data_, std::move(chain));
  if (data_.owner_ != nullptr)
    tcp::credit(data_.owner_->impl().engine.context(), data_.connection_, taken);
}

}  // namespace stack

RxData::RxData(RxData&& other) noexcept
    : head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      segments_(std::exchange(other.segments_, 0)),
      owner_(other.owner_),
      connection_(other.connection_) {}

RxData& RxData::operator=(RxData&& other) noexcept {
  if (this != &other) {
    release();
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    segments_ = std::exchange(other.segments_, 0);
    owner_ = other.owner_;
    connection_ = other.connection_;
  }
  return *this;
}

RxData::~RxData() {
  release();
}

void RxData::release() {
  consume(bytes_);
}

void RxData::consume(std::size_t count) {
  if (head_ == nullptr) return;
  stack::RxChain::Loan loan(*this);
  loan.chain.drop_front(
      static_cast<std::uint32_t>(std::min<std::size_t>(count, loan.chain.bytes())));
}

std::span<const std::byte> RxData::front() const {
  return head_ == nullptr ? std::span<const std::byte>{} : run(head_);
}

const rte_mbuf* RxData::next_run(const rte_mbuf* at) {
  return at->next;
}
std::span<const std::byte> RxData::run(const rte_mbuf* at) {
  return packet::first_segment(*at);
}

std::size_t RxData::copy_to(std::span<std::byte> out) const {
  std::size_t copied = 0;
  for_each([&](std::span<const std::byte> octets) {
    const std::size_t count = std::min(octets.size(), out.size() - copied);
    if (count > 0) std::memcpy(out.data() + copied, octets.data(), count);
    copied += count;
  });
  return copied;
}

std::string RxData::to_string() const {
  std::string text(bytes_, '\0');
  copy_to(std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

}  // namespace sluice
