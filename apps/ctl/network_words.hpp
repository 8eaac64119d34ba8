#pragma once

#include <cxxopts.hpp>
#include <string_view>

#include "apps/ctl/command.hpp"

namespace sluice::ctl {

/// Lets `sluicectl OBJECT` take words behind it.
void add_words(cxxopts::Options& options);
/// They were given: run_network_words() is meant.
bool has_words(const cxxopts::ParseResult& parsed);

/// `sluicectl addr|route|neigh add|del ...`, in the words of iproute2: changes a running server.
/// Throws UsageError for any other words.
int run_network_words(std::string_view object, const cxxopts::ParseResult& parsed, Streams streams);

}  // namespace sluice::ctl
