#include "runtime/guard.hpp"

#include <fmt/format.h>

#include "sluice/runtime.hpp"

namespace sluice::runtime {

int exit_code_of(std::string_view path, const std::function<int()>& body, std::FILE* complaints) {
  const auto give_up = [&](const std::exception& error, int exit_code) {
    fmt::print(complaints, "{}: {}\n", path.substr(path.find_last_of('/') + 1), error.what());
    return exit_code;
  };
  try {
    return body();
  } catch (const SetupError& error) {
    return give_up(error, error.exit_code());
  } catch (const std::exception& error) {
    return give_up(error, 1);
  }
}

}  // namespace sluice::runtime
