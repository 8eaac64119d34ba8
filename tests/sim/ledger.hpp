#pragma once

// Where everybody in a world writes what must not have happened.

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice::sim {

class Ledger {
 public:
  template <class... Args>
  void fail(fmt::format_string<Args...> text, Args&&... args) {
    constexpr std::size_t kEnough = 12;
    if (faults_.size() < kEnough) faults_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }
  bool is_clean() const { return faults_.empty(); }
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  std::vector<std::string> faults_;
};

}  // namespace sluice::sim
