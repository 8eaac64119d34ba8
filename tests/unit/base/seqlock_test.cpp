#include "base/seqlock.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <thread>

using namespace sluice;

namespace {

struct SharedRecord {
  SeqVersion version;
  std::array<std::uint32_t, 15> words{};
};

void write_relaxed(SharedRecord& record, std::uint32_t value) {
  record.version.begin_write();
  for (auto& word : record.words)
    std::atomic_ref<std::uint32_t>(word).store(value, std::memory_order_relaxed);
  record.version.end_write();
}

}  // namespace

TEST_CASE("a record at rest is read consistently", "[base][seqlock]") {
  SharedRecord record;
  write_relaxed(record, 7);
  SharedRecord copy;
  REQUIRE(read_record(record, copy) == ReadOutcome::kConsistent);
  REQUIRE(copy.words == record.words);
  REQUIRE(copy.version.value == record.version.value);
}

TEST_CASE("a record whose writer died at work is given as torn", "[base][seqlock]") {
  SharedRecord record;
  write_relaxed(record, 7);
  record.version.begin_write();
  record.words[0] = 8;
  REQUIRE(record.version.is_being_written());
  SharedRecord copy;
  REQUIRE(read_record(record, copy) == ReadOutcome::kTorn);
  REQUIRE(copy.words[0] == 8);
}

TEST_CASE("beginning a write twice is one write", "[base][seqlock]") {
  SeqVersion version;
  version.begin_write();
  version.begin_write();
  version.end_write();
  REQUIRE(version.value == 2);
  REQUIRE_FALSE(version.is_being_written());
}

TEST_CASE("a record that is overwritten is being written all the while", "[base][seqlock]") {
  SharedRecord record{};
  record.version.begin_write();
  SharedRecord next{};
  next.version.value = 40;
  next.words[0] = 7;
  overwrite_record(record, next);
  CHECK(record.version.is_being_written());
  CHECK(record.version.value == 1);
  CHECK(record.words[0] == 7);
  record.version.end_write();
  CHECK(record.version.value == 2);
}

TEST_CASE("a version wraps from odd to even", "[base][seqlock]") {
  SeqVersion version{0xfffffffe};
  version.begin_write();
  REQUIRE(version.is_being_written());
  version.end_write();
  REQUIRE(version.value == 0);
}

TEST_CASE("a reader never takes a mixture of two writes for consistent",
          "[base][seqlock][threads]") {
  SharedRecord record;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::uint32_t value = 1; !stop.load(std::memory_order_relaxed); ++value)
      write_relaxed(record, value);
  });
  bool is_mixed = false;
  for (int i = 0; i < 20'000; ++i) {
    SharedRecord copy;
    if (read_record(record, copy) != ReadOutcome::kConsistent) continue;
    for (const std::uint32_t word : copy.words) is_mixed |= word != copy.words[0];
  }
  stop = true;
  writer.join();
  REQUIRE_FALSE(is_mixed);
}
