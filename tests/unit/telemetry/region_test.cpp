#include "telemetry/region.hpp"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <string>

#include "telemetry/metrics.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/region_files.hpp"

namespace {

using namespace sluice::telemetry;
using Catch::Matchers::Contains;

struct Row {
  std::uint64_t value;
  std::uint64_t other;
};

constexpr std::array<SectionPlan, 3> kPlan = {{
    {SectionKind::kWorkerInfo, 0, sizeof(WorkerInfo), 1},
    {SectionKind::kMetrics, 0, sizeof(Metrics), 1},
    {SectionKind::kPorts, kSharedSection, sizeof(Row), 5},
}};

/// A name that no other process has, and no file of it left behind.
struct TestInstance {
  std::string name;
  explicit TestInstance(const char* what)
      : name("unit-" + std::string(what) + "-" + std::to_string(::getpid())) {}
  ~TestInstance() {
    for (const RegionDirectory& directory : region_directories())
      ::unlink(region_path(directory, name).c_str());
  }
  TestInstance(const TestInstance&) = delete;
  TestInstance& operator=(const TestInstance&) = delete;
};

std::string shm_path(const std::string& instance) {
  return region_path(region_directories().back(), instance);
}

/// Overwrites `octets` octets at `offset` of a region's file that nobody owns.
template <class T>
void patch(const std::string& path, std::size_t offset, T value) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd >= 0);
  REQUIRE(::pwrite(fd, &value, sizeof value, static_cast<off_t>(offset)) == sizeof value);
  ::close(fd);
}

/// A region's file as a dead process leaves it; only in /dev/shm, where octets can be patched.
void leave_dead_region(const std::string& instance) {
  StateRegion region = StateRegion::create(instance, "unit-test", kPlan);
  REQUIRE(region.path() == shm_path(instance));
}

}  // namespace

TEST_CASE("an anonymous region has the planned sections, zero-filled and on 64-octet boundaries",
          "[telemetry][region]") {
  StateRegion region = StateRegion::anonymous(kPlan);
  const auto rows = region.section<Row>(SectionKind::kPorts, kSharedSection);
  REQUIRE(rows.size() == 5);
  CHECK(reinterpret_cast<std::uintptr_t>(rows.data()) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(region.section<Metrics>(SectionKind::kMetrics, 0).data()) %
            64 ==
        0);
  CHECK(std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.value == 0; }));
  CHECK(region.path().empty());

  rows[4].value = 7;
  const RegionView view = RegionView::over(region);
  CHECK(view.section<Row>(SectionKind::kPorts, kSharedSection)[4].value == 7);
  CHECK(view.workers() == 1);
}

TEST_CASE("a view gives no records for an absent section or another stride",
          "[telemetry][region]") {
  StateRegion region = StateRegion::anonymous(kPlan);
  const RegionView view = RegionView::over(region);
  CHECK(view.section<Row>(SectionKind::kTcbs, 0).empty());
  CHECK(view.section<std::uint32_t>(SectionKind::kPorts, kSharedSection).empty());
  CHECK(view.section<WorkerInfo>(SectionKind::kWorkerInfo, 1).empty());
}

TEST_CASE("a created region can be read by name while its owner lives", "[telemetry][region]") {
  const TestInstance instance("create");
  StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  region.section<Row>(SectionKind::kPorts, kSharedSection)[1].value = 42;

  const RegionView view = RegionView::open(instance.name);
  CHECK(view.is_owner_alive());
  CHECK(view.instance() == instance.name);
  CHECK(view.program() == "unit-test");
  CHECK(view.header().pid == ::getpid());
  CHECK(view.header().started_wall > view.header().started_monotonic);
  CHECK(std::strlen(view.header().boot_id) == 36);
  CHECK(view.section<Row>(SectionKind::kPorts, kSharedSection)[1].value == 42);
  const auto names = RegionView::instances();
  CHECK(std::find(names.begin(), names.end(), instance.name) != names.end());
}

TEST_CASE("a region's file has mode 0640 whatever the umask", "[telemetry][region]") {
  const TestInstance instance("mode");
  for (const mode_t mask : {0000u, 0077u}) {
    const mode_t before = ::umask(mask);
    const StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
    ::umask(before);
    struct stat facts {};
    REQUIRE(::stat(region.path().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0640);
    CHECK(facts.st_blocks * 512 >=
          static_cast<blkcnt_t>(region.size()));  // no page is left to find
  }
}

TEST_CASE("an instance whose owner lives is refused with one line that names it",
          "[telemetry][region]") {
  const TestInstance instance("busy");
  StateRegion region = StateRegion::create(instance.name, "first-owner", kPlan);
  CHECK_THROWS_WITH(StateRegion::create(instance.name, "second", kPlan),
                    Contains("in use") && Contains("first-owner") &&
                        Contains(std::to_string(::getpid())) && !Contains("\n"));
  CHECK(RegionView::open(instance.name).program() == "first-owner");
}

TEST_CASE(
    "an unlocked file of the same instance is replaced, and its readers keep what they mapped",
    "[telemetry][region]") {
  const TestInstance instance("replace");
  {
    StateRegion region = StateRegion::create(instance.name, "old", kPlan);
    region.section<Row>(SectionKind::kPorts, kSharedSection)[0].value = 1;
  }
  const RegionView old_view = RegionView::open(instance.name);
  CHECK_FALSE(old_view.is_owner_alive());

  StateRegion region = StateRegion::create(instance.name, "new", kPlan);
  const RegionView new_view = RegionView::open(instance.name);
  CHECK(new_view.program() == "new");
  CHECK(new_view.is_owner_alive());
  CHECK(new_view.section<Row>(SectionKind::kPorts, kSharedSection)[0].value == 0);
  CHECK_FALSE(old_view.is_owner_alive());
  CHECK(old_view.section<Row>(SectionKind::kPorts, kSharedSection)[0].value == 1);
}

TEST_CASE("a foreign file of a region's name is replaced", "[telemetry][region]") {
  const TestInstance instance("foreign");
  std::ofstream(shm_path(instance.name)) << "not a region";
  CHECK_THROWS_WITH(RegionView::open(instance.name), Contains("too short"));
  const auto names = RegionView::instances();
  CHECK(std::find(names.begin(), names.end(), instance.name) == names.end());
  const StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  CHECK(RegionView::open(instance.name).program() == "unit-test");
}

TEST_CASE("remove_file takes the name away and leaves the mapping", "[telemetry][region]") {
  const TestInstance instance("remove");
  StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  const std::string path = region.path();
  region.remove_file();
  CHECK(::access(path.c_str(), F_OK) != 0);
  region.section<Row>(SectionKind::kPorts, kSharedSection)[0].value = 3;
  CHECK_THROWS_WITH(RegionView::open(instance.name), Contains("no instance"));
}

TEST_CASE("want of room is one line that says how much was wanted, and nothing is left behind",
          "[telemetry][region]") {
  const TestInstance instance("room");
  const std::array<SectionPlan, 1> plan = {{{SectionKind::kTcbs, 0, 1u << 16, 1u << 30}}};
  CHECK_THROWS_WITH(StateRegion::create(instance.name, "unit-test", plan),
                    Contains("MiB wanted") && Contains("free") && !Contains("\n"));
  CHECK(::access(shm_path(instance.name).c_str(), F_OK) != 0);
}

TEST_CASE("what a starter left that was killed goes with the instance's next start",
          "[telemetry][region]") {
  const TestInstance instance("killed");
  const std::string directory = region_directories().back().path;
  const auto leave = [&](const std::string& tail) {
    const std::string path = directory + "/.sluice." + tail;
    std::ofstream(path) << "half a region";
    return path;
  };
  const std::string ours = leave(instance.name + ".12345");
  const std::string theirs = leave(instance.name + ".2.12345");
  StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  CHECK(::access(ours.c_str(), F_OK) != 0);
  CHECK(::access(theirs.c_str(), F_OK) == 0);
  ::unlink(theirs.c_str());
  region.remove_file();
}

TEST_CASE("a region that this user may not read is listed, and told of with the mend",
          "[telemetry][region]") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root, to be somebody else");
    return;
  }
  const TestInstance instance("secret");
  StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said;
    if (::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0) {
      const std::vector<std::string> names = RegionView::instances();
      if (std::find(names.begin(), names.end(), instance.name) != names.end()) said = "listed; ";
      try {
        RegionView::open(instance.name);
      } catch (const std::runtime_error& error) {
        said += error.what();
      }
    }
    ::_exit(::write(ends[1], said.data(), said.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  char said[1024];
  const ssize_t length = ::read(ends[0], said, sizeof said);
  ::close(ends[0]);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  REQUIRE(length >= 0);
  CHECK(std::string(said, static_cast<std::size_t>(length)) ==
        "listed; instance '" + instance.name + "': no right to read (mode 0640, root): use sudo");
  region.remove_file();
}

TEST_CASE("an instance's name cannot leave its directory", "[telemetry][region]") {
  for (const char* name : {"", "a/b", "../x", ".hidden", "-x", "a b", "a\n", "ä"}) {
    CAPTURE(name);
    CHECK_FALSE(is_valid_instance_name(name));
    CHECK_THROWS(StateRegion::create(name, "unit-test", kPlan));
    CHECK_THROWS(RegionView::open(name));
  }
  CHECK_FALSE(is_valid_instance_name(std::string(49, 'a')));
  CHECK(is_valid_instance_name(std::string(48, 'a')));
  CHECK(is_valid_instance_name("echo-1.test_2"));
}

TEST_CASE("after kill -9 of the owner a reader still reads, and knows that it is dead",
          "[telemetry][region]") {
  const TestInstance instance("killed");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    StateRegion region = StateRegion::create(instance.name, "victim", kPlan);
    region.section<Row>(SectionKind::kPorts, kSharedSection)[2].value = 0xabcdef;
    region.section<Metrics>(SectionKind::kMetrics, 0)[0].count(Counter::kRxPackets, 9);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char octet = 0;
  REQUIRE(::read(ready[0], &octet, 1) == 1);
  {
    const RegionView alive = RegionView::open(instance.name);
    CHECK(alive.is_owner_alive());
    CHECK(alive.header().pid == child);
    CHECK_THROWS_WITH(StateRegion::create(instance.name, "unit-test", kPlan), Contains("victim"));
  }
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  ::close(ready[0]);
  ::close(ready[1]);

  {
    const RegionView dead = RegionView::open(instance.name);
    CHECK_FALSE(dead.is_owner_alive());
    CHECK(dead.section<Row>(SectionKind::kPorts, kSharedSection)[2].value == 0xabcdef);
    CHECK(dead.section<Metrics>(SectionKind::kMetrics, 0)[0].of(Counter::kRxPackets) == 9);
  }
  CHECK_NOTHROW(StateRegion::create(instance.name, "successor", kPlan));
}

TEST_CASE("a reader refuses a region that is truncated, foreign or of another version",
          "[telemetry][region]") {
  const TestInstance instance("damaged");
  leave_dead_region(instance.name);
  const std::string path = shm_path(instance.name);
  const auto refuses_with = [&instance](const char* words) {
    CHECK_THROWS_WITH(RegionView::open(instance.name), Contains(words) && !Contains("\n"));
  };
  SECTION("magic") {
    patch(path, offsetof(RegionHeader, magic), std::uint64_t{1});
    refuses_with("not a state region");
  }
  SECTION("version") {
    patch(path, offsetof(RegionHeader, version), std::uint32_t{99});
    refuses_with("version 99");
  }
  SECTION("shorter than its header says") {
    patch(path, offsetof(RegionHeader, size), std::uint64_t{1} << 40);
    refuses_with("truncated");
  }
  SECTION("shorter than a header") {
    REQUIRE(::truncate(path.c_str(), 100) == 0);
    refuses_with("too short");
  }
  SECTION("a directory beyond the end") {
    patch(path, offsetof(RegionHeader, section_count), std::uint32_t{0x10000000});
    refuses_with("directory");
  }
  const std::size_t first = sizeof(RegionHeader);
  SECTION("a section that starts beyond the end") {
    patch(path, first + offsetof(SectionEntry, offset), ~std::uint64_t{63});
    refuses_with("section");
  }
  SECTION("a section that ends beyond the end") {
    patch(path, first + offsetof(SectionEntry, count), std::uint32_t{0xffffffff});
    refuses_with("section");
  }
  SECTION("a section off its boundary") {
    patch(path, first + offsetof(SectionEntry, offset), std::uint64_t{513});
    refuses_with("section");
  }
  SECTION("a section of stride 0") {
    patch(path, first + offsetof(SectionEntry, stride), std::uint32_t{0});
    refuses_with("section");
  }
  SECTION("a section of a worker that cannot be") {
    patch(path, first + offsetof(SectionEntry, worker), std::uint32_t{0xfffffffe});
    refuses_with("worker");
  }
  SECTION("texts without an end are cut") {
    std::array<char, sizeof(RegionHeader::instance)> text;
    text.fill('x');
    patch(path, offsetof(RegionHeader, instance), text);
    CHECK(RegionView::open(instance.name).instance().size() == text.size());
  }
}

TEST_CASE("an instance that does not exist is refused with the names of those that do",
          "[telemetry][region]") {
  const TestInstance instance("present");
  const StateRegion region = StateRegion::create(instance.name, "unit-test", kPlan);
  CHECK_THROWS_WITH(RegionView::open("unit-no-such-instance"),
                    Contains("no instance 'unit-no-such-instance'") && Contains(instance.name));
}
