#include "base/reserved_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace sluice {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMiB = std::size_t{1} << 20;

std::size_t resident_octets(const ReservedMemory& memory) {
  std::vector<unsigned char> pages(memory.octets() / kPage);
  REQUIRE(::mincore(memory.data(), memory.octets(), pages.data()) == 0);
  std::size_t count = 0;
  for (const unsigned char page : pages) count += page & 1u;
  return count * kPage;
}

}  // namespace

TEST_CASE("reserved memory is there when touched, zero-filled, and none of it before", "[base]") {
  ReservedMemory memory(std::size_t{1} << 36);  // more than most machines have
  CHECK(memory.data()[0] == std::byte{0});
  CHECK(memory.data()[memory.octets() - 1] == std::byte{0});
  memory.data()[memory.octets() - 1] = std::byte{7};
  CHECK(memory.data()[memory.octets() - 1] == std::byte{7});
  const ReservedMemory untouched(4 * kMiB);
  CHECK(resident_octets(untouched) == 0);
}

TEST_CASE("an owner without help faults in each page once", "[base]") {
  ReservedMemory memory(4 * kMiB);
  CHECK(memory.use(1) == 1);
  CHECK(memory.use(kPage) == 0);
  CHECK(memory.use(kPage + 1) == 1);
  CHECK(memory.use(10 * kPage) == 8);
  CHECK(memory.use(3 * kPage) == 0);
  CHECK(memory.is_ready(4 * kMiB));  // nobody will do it: no reason to wait
}

TEST_CASE("a part of a larger mapping is made present, and no page beside it", "[base]") {
  constexpr std::size_t kBefore = 3 * kPage + 64;  // as a section of the state region lies
  constexpr std::size_t kOctets = GrowingMemory::kLead + 10 * kPage;
  ReservedMemory around(kOctets + 8 * kPage);  // of small pages
  GrowingMemory part(around.data() + kBefore, kOctets);
  CHECK(part.use(100) == 1);
  if (!part.populate_ahead()) {
    WARN("skipped: a kernel before 5.14 does not populate on request");
    return;
  }
  constexpr std::size_t kEdge = kPage;  // its first and its last page are not its own alone
  CHECK(resident_octets(around) == GrowingMemory::kLead + kPage + kEdge);
  CHECK(part.use(GrowingMemory::kLead) == 0);
  CHECK(!part.is_ready(kOctets));
  CHECK(part.populate_ahead());
  CHECK(part.is_ready(kOctets));
  CHECK(part.use(kOctets) == 0);
  CHECK(resident_octets(around) == kOctets + kEdge);
  CHECK(part.populate_ahead());
  CHECK(resident_octets(around) == kOctets + kEdge);
}

TEST_CASE("memory is present a lead ahead of use, and no further", "[base]") {
  ReservedMemory memory(3 * ReservedMemory::kLead / 2);
  CHECK(memory.use(1) == 1);
  if (!memory.populate_ahead()) {
    WARN("skipped: a kernel before 5.14 does not populate on request");
    return;
  }
  CHECK(resident_octets(memory) == ReservedMemory::kLead + kPage);
  CHECK(memory.is_ready(ReservedMemory::kLead));
  CHECK(!memory.is_ready(memory.octets()));
  CHECK(memory.use(kMiB) == 0);
  CHECK(memory.use(ReservedMemory::kLead + 3 * kPage) == 2);  // faster than the populating thread
  CHECK(memory.populate_ahead());
  CHECK(memory.is_ready(memory.octets()));
  CHECK(resident_octets(memory) == memory.octets());
  CHECK(memory.use(memory.octets()) == 0);
  CHECK(memory.populate_ahead());
}

TEST_CASE("populating leaves what the owner wrote", "[base]") {
  ReservedMemory memory(kMiB);
  memory.prefer_node(0);
  memory.data()[17] = std::byte{3};
  memory.populate_ahead();
  CHECK(memory.data()[17] == std::byte{3});
}

TEST_CASE("an owner writes while another thread populates, and finds what it wrote",
          "[base][threads]") {
  ReservedMemory memory(4 * ReservedMemory::kLead);
  std::atomic<bool> is_over = false;
  std::thread helper([&] {
    while (!is_over.load(std::memory_order_relaxed)) static_cast<void>(memory.populate_ahead());
  });
  constexpr std::size_t kStep = 3 * kPage;
  const auto value_at = [](std::size_t at) { return static_cast<std::byte>(at / kStep * 7 + 1); };
  for (std::size_t at = 0; at + kStep <= memory.octets(); at += kStep) {
    static_cast<void>(memory.use(at + kStep));
    std::fill_n(memory.data() + at, kStep, value_at(at));
  }
  is_over.store(true, std::memory_order_relaxed);
  helper.join();
  for (std::size_t at = 0; at + kStep <= memory.octets(); at += kStep) {
    const std::byte* const step = memory.data() + at;
    REQUIRE(std::count(step, step + kStep, value_at(at)) == static_cast<std::ptrdiff_t>(kStep));
  }
}

}  // namespace sluice
