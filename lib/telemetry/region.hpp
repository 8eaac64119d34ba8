#pragma once

// The state region: one mapping that holds what an operator may want to see of a running or dead
// process. A header, a directory of sections, then the sections: arrays of fixed-stride records.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.hpp"
#include "base/time.hpp"

namespace sluice::telemetry {

enum class SectionKind : std::uint32_t {
  kWorkerInfo = 1,  ///< WorkerInfo, one a worker.
  kMetrics,         ///< Metrics, one a worker.
  kRecorder,        ///< RecorderHead, then RecorderEvent records (two sections, see recorder.hpp).
  kRecorderEvents,
  kTcbs,            ///< tcp::Tcb
  kTcbTotals,       ///< tcp::TcbTotals, same index
  kHalfOpen,        ///< tcp::HalfOpen
  kTimeWait4,       ///< tcp::TimeWait4
  kTimeWait6,       ///< tcp::TimeWait6
  kListeners,       ///< tcp::ListenerRecord
  kV6Keys,          ///< tcp::V6Key, side records of IPv6 connections
  kNeighbors,       ///< link::NeighborRecord
  kRoutes,          ///< ip::RouteRecord
  kAddresses,       ///< ip::AddressRecord
  kPorts,           ///< stack::PortRecord
  kGate,            ///< tcp::GateRecord, same index as kListeners
  kTopPrefixes,     ///< tcp::TopPrefixesRecord, one a worker
  kNeighborAlarms,  ///< link::NeighborAlarmRecord, one for each NeighborAlarm
  kPortCounts,      ///< stack::PortCounts, same index as kPorts
};

inline constexpr std::uint32_t kSharedSection = 0xffffffffu;  ///< `worker` of what all share.

/// True for 1 to 48 letters, digits, '.', '_' and '-', the first no '.' or '-': what can be a
/// file's name.
bool is_valid_instance_name(std::string_view name);

/// `/dev/shm/sluice-control.<instance>`: the socket by which the region's owner takes commands. Not
/// a region's name, whatever the instance is called.
std::string control_socket_path(std::string_view instance);

/// What a section will be. Made before the region, which is sized from the plan.
struct SectionPlan {
  SectionKind kind;
  std::uint32_t worker;  ///< 0-based, or kSharedSection.
  std::uint32_t stride;  ///< Octets a record; sizeof of the record type.
  std::uint32_t count;   ///< Records.
};

/// Octet layout of the mapping's start. A reader refuses another magic or version.
struct RegionHeader {
  static constexpr std::uint64_t kMagic = 0x53'4c'55'49'43'45'30'31;  // "SLUICE01"
  static constexpr std::uint32_t kVersion = 1;

  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t section_count;
  std::uint64_t size;  ///< Octets of the whole mapping.
  std::int64_t pid;
  std::int64_t started_monotonic;  ///< Instant, ns.
  std::int64_t started_wall;       ///< CLOCK_REALTIME at the same moment, ns.
  char boot_id[40];                ///< /proc/sys/kernel/random/boot_id, for Instant's meaning.
  char instance[64];
  char program[32];
};

struct SectionEntry {
  SectionKind kind;
  std::uint32_t worker;
  std::uint32_t stride;
  std::uint32_t count;
  std::uint64_t offset;
};

/// The mapping, from the side of its owner. Movable; unmaps at the end. A file-backed region's
/// file is removed only by remove_file(): it must outlive a crash.
class StateRegion {
 public:
  /// Private memory of this process: tests, the simulator, benchmarks.
  static StateRegion anonymous(std::span<const SectionPlan> plan);
  /// `/dev/shm/sluice.<instance>`, or the same name on a hugetlbfs mount if one has room. Mode
  /// 0640. Space is allocated now. An existing file that no process has locked is replaced. Throws
  /// std::runtime_error with one clear line: instance in use, no room, no right.
  static StateRegion create(std::string_view instance, std::string_view program,
                            std::span<const SectionPlan> plan);

  StateRegion(StateRegion&& other) noexcept;
  StateRegion& operator=(StateRegion&& other) noexcept;
  StateRegion(const StateRegion&) = delete;
  StateRegion& operator=(const StateRegion&) = delete;
  ~StateRegion();

  /// The records of a section, zero-filled at first. Asserts that the plan had it with this stride.
  template <class Record>
  std::span<Record> section(SectionKind kind, std::uint32_t worker) {
    const SectionEntry& entry = find(kind, worker);
    SLUICE_ASSERT(entry.stride == sizeof(Record));
    return {reinterpret_cast<Record*>(base_ + entry.offset), entry.count};
  }

  RegionHeader& header() { return *reinterpret_cast<RegionHeader*>(base_); }
  std::size_t size() const { return size_; }
  const std::string& path() const { return path_; }  ///< Empty if anonymous.
  void remove_file();

 private:
  StateRegion() = default;
  const SectionEntry& find(SectionKind kind, std::uint32_t worker) const;

  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  int lock_fd_ = -1;
  std::string path_;
};

/// The mapping, from the side of a reader (sluicectl): read-only, of a live or dead process.
class RegionView {
 public:
  /// Maps an instance's region. Throws std::runtime_error with one clear line (none such, another
  /// version, no right to read).
  static RegionView open(std::string_view instance);
  static std::vector<std::string> instances();  ///< Names, sorted; open() may refuse some.
  /// Looks at a mapping of this process, which must outlive the view: tests and the simulator.
  static RegionView over(StateRegion& region);

  RegionView(RegionView&& other) noexcept;
  RegionView& operator=(RegionView&&) = delete;
  ~RegionView();

  const RegionHeader& header() const { return *reinterpret_cast<const RegionHeader*>(base_); }
  bool is_owner_alive() const;  ///< The owner still holds its lock.
  std::uint32_t workers() const;
  std::span<const SectionEntry> sections() const { return sections_; }
  /// The header's texts, ended at their array's end should their zero be missing.
  std::string_view instance() const;
  std::string_view program() const;

  /// Empty if the region has no such section, or one of another stride.
  template <class Record>
  std::span<const Record> section(SectionKind kind, std::uint32_t worker) const {
    for (const SectionEntry& entry : sections())
      if (entry.kind == kind && entry.worker == worker && entry.stride == sizeof(Record))
        return {reinterpret_cast<const Record*>(base_ + entry.offset), entry.count};
    return {};
  }

 private:
  RegionView() = default;
  const std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;  ///< Where the owner's lock is looked for; -1: borrowed.
  std::vector<SectionEntry>
      sections_;  ///< Copied and bounds-checked once, so that nobody moves them.
};

/// Per-worker facts that readers need beside the records. Rewritten once per poll round that did
/// work.
struct WorkerInfo {
  std::uint32_t version;    ///< SeqVersion.
  std::uint32_t tick;       ///< base/timer_wheel.hpp Tick of last_round.
  std::int64_t last_round;  ///< Instant, ns.
  std::uint32_t tcbs_in_use;
  std::uint32_t half_open_in_use;
  std::uint32_t time_wait_in_use;
  std::uint32_t receive_mbufs_free;
  std::uint32_t control_mbufs_free;
  std::uint32_t draining;  ///< 1 while the worker drains.
};

}  // namespace sluice::telemetry
