#pragma once

// A region such as a worker would fill, without a worker: what sluicectl is tested on.

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "apps/ctl/command.hpp"
#include "apps/ctl/instances.hpp"
#include "tcp/tcb.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/region.hpp"

namespace sluice::ctl::test {

inline constexpr std::uint32_t kIss =
    0xfffffff0;  ///< Near the wrap, so that relative numbers must.
inline constexpr std::uint32_t kIrs = 5000;

/// A file-backed region of one worker, owned by this process, removed at the end.
class FakeInstance {
 public:
  explicit FakeInstance(const std::string& suffix, std::uint32_t recorder_events = 4096);
  ~FakeInstance();
  FakeInstance(const FakeInstance&) = delete;
  FakeInstance& operator=(const FakeInstance&) = delete;

  const std::string& name() const { return name_; }
  telemetry::StateRegion& region() { return *region_; }
  template <class Record>
  Record& record(telemetry::SectionKind kind, std::size_t index = 0, std::uint32_t worker = 0) {
    return region_->section<Record>(kind, worker)[index];
  }
  /// Lets the owner's lock go, as the end of its process does; the file stays.
  void die();

  /// The instance as a command sees it, at a time of the test's choice.
  Instance at(Instant now);

 private:
  std::string name_;
  std::string path_;
  std::unique_ptr<telemetry::StateRegion> region_;
};

/// Writes the events of one flow as the engine does: a received segment after what it caused.
class FlowWriter {
 public:
  FlowWriter(FakeInstance& instance, std::uint64_t flow, std::uint16_t remote_port = 40000);

  FlowWriter& at_us(std::int64_t us);  ///< Time of what follows, since the worker's start.
  FlowWriter& flow(std::uint32_t connection = tcp::kNoIndex);
  FlowWriter& moves(tcp::State from, tcp::State to);
  struct Segment {
    std::uint8_t flags = 0;
    std::uint32_t seq = 0;  ///< Relative to the sender's ISN.
    std::uint32_t ack = 0;  ///< Relative to the receiver's ISN.
    std::uint32_t payload = 0;
    telemetry::Outcome outcome = telemetry::Outcome::kSegmentProcessed;
    bool is_retransmission = false;
  };
  FlowWriter& receives(const Segment& segment);
  FlowWriter& sends(const Segment& segment);
  FlowWriter& timer(telemetry::TimerKind kind);
  FlowWriter& user(telemetry::UserCall call);
  FlowWriter& closed(std::uint8_t reason);

  /// The three-way handshake of a passive open, ends ESTABLISHED.
  FlowWriter& opens_passively(std::uint32_t connection = 0);

 private:
  telemetry::RecorderEvent event(telemetry::EventKind kind) const;

  telemetry::Recorder recorder_;
  std::uint64_t flow_;
  std::uint16_t remote_port_;
  std::int64_t time_ns_ = 1'000'000'000;
  tcp::State state_ = tcp::State::kClosed;
};

struct CommandResult {
  int code = 0;
  std::string out;
  std::string err;
};
/// Runs `sluicectl` with these arguments.
CommandResult run(std::vector<std::string> arguments);

}  // namespace sluice::ctl::test
