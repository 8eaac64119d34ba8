#include "sluice/runtime.hpp"

namespace sluice {

SetupError::SetupError(std::string line, int exit_code)
    : line_(std::move(line)), exit_code_(exit_code) {}
SetupError::~SetupError() = default;

}  // namespace sluice
