#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "worker_context.hpp"

namespace httpd {

/// All workers' figures, read while they count: each is right, together they are not of one moment.
/// How many octets were written to `out`.
std::size_t write_status_text(const std::vector<std::unique_ptr<Stats>>& workers,
                              std::span<char> out);
std::size_t write_status_json(const std::vector<std::unique_ptr<Stats>>& workers,
                              std::span<char> out);

}  // namespace httpd
