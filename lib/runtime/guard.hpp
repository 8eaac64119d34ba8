#pragma once

#include <cstdio>
#include <functional>
#include <string_view>

namespace sluice::runtime {

/// What `body` gives. An exception from it becomes a line in `complaints`, behind the last part of
/// the program's `path`, and an exit code: a SetupError's own, 1 for any other std::exception.
int exit_code_of(std::string_view path, const std::function<int()>& body,
                 std::FILE* complaints = stderr);

}  // namespace sluice::runtime
