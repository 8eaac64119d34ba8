#include "telemetry/recorder.hpp"

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "telemetry/recorder_reader.hpp"

namespace {

using namespace sluice::telemetry;

template <std::size_t kSize>
struct Ring {
  RecorderHead head{};
  std::array<RecorderEvent, kSize> events{};
  Recorder recorder{head, events};

  void record(std::int64_t time) {
    RecorderEvent event{};
    event.time = time;
    event.flow = static_cast<std::uint64_t>(time) * 3;
    event.kind = EventKind::kSent;
    event.segment.seq = static_cast<std::uint32_t>(time);
    event.segment.cwnd = static_cast<std::uint32_t>(time);
    recorder.record(event);
  }
  Recording read() const { return read_recording(head, events); }
};

}  // namespace

TEST_CASE("a recorder without a ring takes events and keeps none", "[telemetry][recorder]") {
  RecorderHead head{};
  Recorder recorder(head, {});
  CHECK_FALSE(recorder.is_enabled());
  recorder.record({});
  CHECK(read_recording(head, {}).events.empty());
}

TEST_CASE("a fresh ring reads as empty", "[telemetry][recorder]") {
  const Ring<4> ring;
  const Recording recording = ring.read();
  CHECK(recording.events.empty());
  CHECK(recording.torn == 0);
  CHECK(recording.overwritten == 0);
}

TEST_CASE("events are read in the order they were recorded, numbered from 1",
          "[telemetry][recorder]") {
  Ring<8> ring;
  for (int time = 10; time < 15; ++time) ring.record(time);
  const Recording recording = ring.read();
  REQUIRE(recording.events.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(recording.events[i].sequence == i + 1);
    CHECK(recording.events[i].time == static_cast<std::int64_t>(10 + i));
    CHECK(recording.events[i].segment.cwnd == 10 + i);
  }
}

TEST_CASE("a full ring overwrites the oldest events and says how many", "[telemetry][recorder]") {
  Ring<8> ring;
  const int total = GENERATE(8, 9, 15, 16, 17, 1000);
  for (int time = 1; time <= total; ++time) ring.record(time);
  const Recording recording = ring.read();
  REQUIRE(recording.events.size() == 8);
  CHECK(recording.torn == 0);
  CHECK(recording.overwritten == static_cast<std::uint64_t>(total - 8));
  for (std::size_t i = 0; i < 8; ++i)
    CHECK(recording.events[i].time == total - 7 + static_cast<int>(i));
}

TEST_CASE("an event left half-written by a dead writer is skipped and counted",
          "[telemetry][recorder]") {
  Ring<8> ring;
  for (int time = 1; time <= 12; ++time) ring.record(time);
  SECTION("its mark is 0: the writer died inside it") {
    ring.events[10 % 8].sequence = 0;
  }
  SECTION("its mark is another round's") {
    ring.events[10 % 8].sequence = 2;
  }
  const Recording recording = ring.read();
  CHECK(recording.torn == 1);
  REQUIRE(recording.events.size() == 7);
  for (const RecorderEvent& event : recording.events) CHECK(event.sequence != 10);
}

TEST_CASE("a head that was never true costs no more than one pass over the ring",
          "[telemetry][recorder]") {
  Ring<8> ring;
  ring.record(1);
  ring.head.next_sequence = ~std::uint64_t{0};
  const Recording recording = ring.read();
  CHECK(recording.events.empty());
  CHECK(recording.torn == 8);
}

TEST_CASE("a reader beside a writer never sees a mixture of two events",
          "[telemetry][recorder][threads]") {
  Ring<16> ring;
  std::atomic<bool> stop{false};
  std::thread writer([&ring, &stop] {
    for (std::int64_t time = 1; !stop.load(std::memory_order_relaxed); ++time) ring.record(time);
  });
  std::uint64_t seen = 0;
  bool is_whole = true;
  for (int pass = 0; pass < 20'000 || seen == 0; ++pass) {
    std::uint64_t last = 0;
    for (const RecorderEvent& event : ring.read().events) {
      ++seen;
      is_whole = is_whole && event.flow == static_cast<std::uint64_t>(event.time) * 3 &&
                 event.segment.seq == static_cast<std::uint32_t>(event.time) &&
                 event.segment.cwnd == event.segment.seq && event.sequence > last &&
                 event.sequence == static_cast<std::uint64_t>(event.time);
      last = event.sequence;
    }
  }
  stop = true;
  writer.join();
  CHECK(is_whole);
}
