#pragma once

#include "base/result.hpp"
#include "sluice/errors.hpp"
#include "sluice/message.hpp"

namespace sluice::stack {

/// By which a worker's application reaches the other workers: Worker::post(). Of its own thread.
class PostOffice {
 public:
  virtual Result<void, Error> post(unsigned to, const Message& message) = 0;

 protected:
  ~PostOffice() = default;
};

}  // namespace sluice::stack
