#include "stack/handler_pool.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/assert.hpp"

namespace sluice::stack {

HandlerPool::HandlerPool(std::unique_ptr<HandlerFactory> factory, std::uint32_t capacity)
    : factory_(std::move(factory)), capacity_(capacity) {
  const std::size_t alignment = std::max(factory_->object_alignment(), alignof(void*));
  const std::size_t size = std::max(factory_->object_size(), sizeof(void*));
  stride_ = (size + alignment - 1) / alignment * alignment;
  bytes_ = stride_ * capacity_;
  void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();  // setup: a listener is opened before the loops
  memory_ = static_cast<std::byte*>(memory);
}

HandlerPool::~HandlerPool() {
  ::munmap(memory_, bytes_);
}

StreamHandler* HandlerPool::make() {
  std::byte* slot = free_;
  if (slot != nullptr) {
    std::memcpy(static_cast<void*>(&free_), slot, sizeof free_);
  } else {
    if (touched_ == capacity_) return nullptr;
    slot = memory_ + stride_ * touched_++;
  }
  ++in_use_;
  return factory_->construct(slot);
}

void HandlerPool::destroy(StreamHandler* handler) {
  // The object begins where its slot does, wherever the StreamHandler base lies in it.
  const auto offset = static_cast<std::size_t>(reinterpret_cast<std::byte*>(handler) - memory_);
  SLUICE_ASSERT(offset < bytes_ && in_use_ > 0);
  std::byte* const slot = memory_ + offset / stride_ * stride_;
  handler->~StreamHandler();
  std::memcpy(slot, static_cast<const void*>(&free_), sizeof free_);
  free_ = slot;
  --in_use_;
}

}  // namespace sluice::stack
