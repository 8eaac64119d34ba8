#pragma once

// Who has to go when a table or a pool runs out, so that new connections find room. Nobody while
// there is enough. docs/gate.md has the order as a table.

#include <array>
#include <cstdint>
#include <vector>

#include "tcp/context.hpp"
#include "tcp/overload/watermark.hpp"

namespace sluice::tcp {

/// What can be shed of connections, in the order in which it is: a kind has its turn when the whole
/// table has been walked and nothing of the kinds before it was found.
enum class ShedKind : std::uint8_t {
  kOutOfOrder,  ///< Packets behind a gap: the peer still has them, and the connection goes on.
  kOrphan,      ///< Closed here, and the peer does not finish.
  kIdle,        ///< Nothing queued, in flight or unread, and nothing came for `overload_idle_age`.
  kSlowReader,  ///< Of what we queued for it, it took less than its share in
                ///< `overload_slow_grace`.
};

/// Watches what is free, and sheds. A step examines and sheds a bounded number, whatever the tables
/// hold; there is one a tick at most.
class Overload {
 public:
  static constexpr std::uint32_t kExamined = 1024;  ///< Connections, and half-open entries.
  static constexpr std::uint32_t kShed = 64;        ///< Of each.

  explicit Overload(const Context& ctx);

  void step(Context& ctx);
  /// From now on: after how much silence a connection is idle.
  void set_idle_age(Duration age) { idle_age_ = ticks_in(age); }
  /// The worst of all levels.
  Pressure pressure() const { return pressure_; }
  /// While something is short there are steps though nothing arrives.
  Instant next_deadline(const Context& ctx) const;
  /// Connections and half-open entries looked at since the start.
  std::uint64_t examined() const { return examined_; }

 private:
  static constexpr std::size_t kKinds = 4, kLevels = 3;

  /// What can run short.
  enum Resource : std::uint8_t {
    kConnections,
    kReceiveBuffers,  ///< Above the low watermark, which is for the receive rings.
    kViews,
    kSendRecords,
    kReceiveRecords,
    kResources,
  };
  using Amounts = std::array<std::uint32_t, kResources>;

  struct Candidate {
    std::uint32_t index = 0;
    std::uint64_t weight = 0;  ///< The heaviest goes first.
    Amounts frees{};
  };

  void measure(const Context& ctx);
  void examine(Context& ctx);
  void examine_connection(Context& ctx, std::uint32_t index);
  void consider(ShedKind kind, const Candidate& candidate);
  bool is_wanted(ShedKind kind, const Amounts& frees) const;
  void shed(Context& ctx);
  void shed_half_open(Context& ctx);
  void find_half_open(Context& ctx);

  static Amounts freed_by_closing(Context& ctx, const Tcb& block);
  std::vector<Candidate>& found(ShedKind kind) { return found_[static_cast<std::size_t>(kind)]; }
  std::uint32_t& unseen(ShedKind kind) { return unseen_[static_cast<std::size_t>(kind)]; }

  Tick idle_age_;          ///< 0: idle connections stay.
  const Tick slow_grace_;  ///< 0: slow readers stay.
  std::array<Watermark, kResources> marks_;
  std::array<Amounts, kLevels> missing_{};  ///< By level, less what this step has shed.
  Pressure pressure_ = Pressure::kCalm;
  Tick stepped_at_;
  Tick pause_ = 1;  ///< Until the next step.

  std::uint32_t hand_ = 0;                            ///< The next connection to examine.
  std::array<std::uint32_t, kKinds> unseen_{};        ///< Examined since the last of the kind.
  std::array<std::vector<Candidate>, kKinds> found_;  ///< By this step.
  std::uint64_t examined_ = 0;

  std::uint32_t half_open_hand_ = 0;
  std::vector<Candidate> half_open_found_;
  std::uint64_t refused_ = 0;  ///< SYNs that found no room, when last looked at ...
  std::vector<std::uint64_t> refused_by_listener_;
  std::vector<std::uint64_t> wanted_by_listener_;  ///< ... and since then.
};

}  // namespace sluice::tcp
