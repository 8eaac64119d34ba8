// Runs scripts, each at three places of the sequence space.
//
//   script FOLDER|FILE.pkt...          passes if every script does
//   script --expect-failure FOLDER     passes if every script fails as its `// expects:` line says

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/script/parser.hpp"
#include "tests/script/runner.hpp"
#include "tests/support/eal.hpp"

namespace sluice::script {
namespace {

namespace fs = std::filesystem;

/// The first octets of either side's stream, or its SYN, pass 2^31 and 2^32.
constexpr std::array kIsns = {
    Isns{"ISN 0", 0u, 0u},
    Isns{"ISN 2^31 - n", 0x80000000u - 500, 0x80000000u - 700},
    Isns{"ISN 2^32 - n", 0u - 500, 0u - 700},
};

std::optional<std::string> text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

/// The scripts that an argument names: a folder's own, not those of folders in it.
std::vector<fs::path> scripts_of(const fs::path& where) {
  if (!fs::is_directory(where)) return {where};
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(where))
    if (entry.path().extension() == ".pkt") found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

/// `FILE:LINE: what went wrong`; nothing if the script passes everywhere.
std::optional<std::string> failure_of(const fs::path& file, const std::string& text) {
  Script script;
  ScriptError error;
  if (!parse(text, script, error))
    return fmt::format("{}:{}: {}", file.string(), error.line, error.what);
  for (const Isns& isns : kIsns)
    if (const auto failure = run(script, isns))
      return fmt::format("{}:{}: {}\n  with {}", file.string(), failure->line, failure->text,
                         isns.name);
  return std::nullopt;
}

/// What the script's `// expects: LINE: text` line says: how its failure must begin.
std::string expectation_of(const fs::path& file, const std::string& text) {
  constexpr std::string_view kMark = "// expects: ";
  const std::size_t at = text.find(kMark);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + kMark.size();
  return file.string() + ":" + text.substr(begin, text.find('\n', begin) - begin);
}

/// Nothing if all is well, else what to print.
std::optional<std::string> judge(const fs::path& file, bool must_fail) {
  const auto text = text_of(file);
  if (!text) return file.string() + ": cannot be read";
  const auto failure = failure_of(file, *text);
  if (!must_fail) return failure;
  const std::string expected = expectation_of(file, *text);
  if (expected.empty()) return file.string() + ": has no `// expects:` line";
  if (!failure) return file.string() + ": passes, and must fail";
  if (failure->starts_with(expected)) return std::nullopt;
  return "expected  " + expected + "\ngot       " + *failure;
}

int run_all(int argc, char** argv) {
  bool must_fail = false;
  unsigned passed = 0, failed = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--expect-failure") {
      must_fail = true;
      continue;
    }
    const auto files = scripts_of(argv[i]);
    if (files.empty()) {
      fmt::print("{}: no scripts there\n", argv[i]);
      ++failed;
    }
    for (const fs::path& file : files) {
      const auto complaint = judge(file, must_fail);
      if (complaint) fmt::print("{}\n", *complaint);
      ++(complaint ? failed : passed);
    }
  }
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace
}  // namespace sluice::script

int main(int argc, char** argv) {
  sluice::support::start_eal();
  return sluice::script::run_all(argc, argv);
}
