#include "runtime/guard.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

struct End {
  int code;
  std::string line;
};

End end_of(const std::function<int()>& body) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* const complaints = ::open_memstream(&text, &size);
  REQUIRE(complaints != nullptr);
  End end{exit_code_of("/usr/bin/server", body, complaints), {}};
  std::fclose(complaints);
  end.line.assign(text, size);
  std::free(text);
  return end;
}

}  // namespace

TEST_CASE("an exception from a program's body is one line behind its name, and an exit code",
          "[runtime]") {
  const End other = end_of([]() -> int { throw std::runtime_error("no such table"); });
  CHECK(other.code == 1);
  CHECK(other.line == "server: no such table\n");
  const End ours = end_of([]() -> int { throw SetupError("--listen 0: no port", 2); });
  CHECK(ours.code == 2);
  CHECK(ours.line == "server: --listen 0: no port\n");
  const End none = end_of([] { return 3; });
  CHECK(none.code == 3);
  CHECK(none.line.empty());
}

}  // namespace sluice::runtime
