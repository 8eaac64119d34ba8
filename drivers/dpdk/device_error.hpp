#pragma once

#include <stdexcept>

namespace sluice::drivers {

/// A device or EAL cannot do what was asked. what() is one line: the device, what is wrong, and the
/// mend. Thrown while setting up only.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace sluice::drivers
