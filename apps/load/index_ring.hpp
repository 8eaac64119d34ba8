#pragma once

#include <cstddef>
#include <vector>

namespace load {

/// A queue with room for as many as there can ever be: never grows, never is asked for more.
template <class Item>
class IndexRing {
 public:
  explicit IndexRing(std::size_t capacity) : items_(capacity) {}

  bool is_empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  const Item& front() const { return items_[first_]; }
  void push(const Item& item) {
    std::size_t at = first_ + count_++;
    if (at >= items_.size()) at -= items_.size();
    items_[at] = item;
  }
  Item pop() {
    const Item item = items_[first_];
    if (++first_ == items_.size()) first_ = 0;
    --count_;
    return item;
  }

 private:
  std::vector<Item> items_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace load
