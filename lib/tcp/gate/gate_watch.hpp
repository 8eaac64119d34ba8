#pragma once

// Counts what comes to the listeners of one worker, and judges it twice a second. A note is an
// addition; that of a SYN or a stray goes into the sketches as well, at most 85 instructions. In a
// flood the list of those who send the most takes a sample of one in eight. Memory is taken once,
// whoever sends.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/handle.hpp"
#include "base/time.hpp"
#include "tcp/demux/listen_table.hpp"
#include "tcp/gate/attack_detector.hpp"
#include "tcp/gate/gate_record.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::tcp {

class GateWatch {
 public:
  static constexpr Duration kStep = Duration::from_ms(500);

  enum class SynFate : std::uint8_t { kAnswered, kRefused };
  enum class Completion : std::uint8_t {
    kByEntry,
    kByCookie,
    kUnaccepted,  ///< The handshake is good, but a queue or table is full.
  };

  /// A record a listener, zeroed. `key`: for the sketches, so that nobody can aim at them.
  GateWatch(std::span<GateRecord> records, TopPrefixesRecord& top, const HashKey& key,
            Instant start);

  /// A listener takes a place in the table.
  void begin(ListenerHandle listener);

  void note_syn(std::uint16_t listener, const IpAddr& source, SynFate fate) {
    Tally& tally = tallies_[listener];
    ++tally.steps[0].syns;
    tally.steps[0].answered += fate == SynFate::kAnswered ? 1 : 0;
    const std::uint64_t prefix = source_prefix(source), hash = hash_(prefix);
    tally.prefixes[parity_].add(hash);
    if (syn_sampler_.takes_next()) top_syns_.add(prefix, hash);
    is_active_ = true;
  }
  void note_completion(std::uint16_t listener, Completion how) {
    ++tallies_[listener].steps[0].completions[static_cast<std::size_t>(how)];
    is_active_ = true;
  }
  /// `listener`: ListenerHandle::kNone if nobody listens there.
  void note_stray(std::uint16_t listener, const IpAddr& source) {
    if (listener != ListenerHandle::kNone) ++tallies_[listener].steps[0].strays;
    if (stray_sampler_.takes_next()) {
      const std::uint64_t prefix = source_prefix(source);
      top_strays_.add(prefix, hash_(prefix));
    }
    is_active_ = true;
  }

  bool is_due(Instant now) const { return now >= step_end_; }
  /// Ends the step: judges every listener and publishes. `max_half_open`: the cap over backlogs.
  void end_step(const ListenTable& listeners, std::uint32_t max_half_open, Instant now,
                telemetry::Metrics& metrics);
  /// When end_step() must come; never while there is nothing to say.
  Instant next_deadline() const { return is_active_ ? step_end_ : Instant::never(); }

  const GateRecord& record_of(std::uint16_t listener) const { return records_[listener]; }
  const TopPrefixesRecord& top() const { return top_; }

 private:
  struct Counts {
    std::uint32_t syns = 0;
    std::uint32_t answered = 0;
    std::uint32_t strays = 0;
    std::array<std::uint32_t, 3> completions{};  ///< By Completion.

    std::uint32_t proved() const { return completions[0] + completions[1] + completions[2]; }
    bool operator==(const Counts&) const = default;
  };
  struct Tally {
    std::array<Counts, 3> steps;               ///< The running one first.
    std::array<DistinctPrefixes, 2> prefixes;  ///< Of the last two, by parity.
    GateVerdict verdict;
    bool is_active = false;
  };

  /// Every one while they are few, one in eight, by chance, in a second after one of many: then
  /// each stands for eight.
  class Sampler {
   public:
    explicit Sampler(std::uint64_t seed) : state_(seed) {}
    bool takes_next() {
      ++seen_;
      state_ = state_ * 0x9e3779b97f4a7c15u + 1;
      return (state_ >> 61 & mask_) == 0;
    }
    std::uint32_t seen() const { return seen_; }
    std::uint32_t weight() const { return mask_ + 1; }
    void end_second() {
      constexpr std::uint32_t kMany = 100'000;
      mask_ = seen_ > kMany ? 7 : 0;
      seen_ = 0;
    }

   private:
    std::uint64_t state_;
    std::uint32_t seen_ = 0;
    std::uint32_t mask_ = 0;
  };

  void judge_listener(const ListenerRecord& listener, std::uint16_t index,
                      std::uint32_t max_half_open, telemetry::Metrics& metrics);
  void publish_top(TopPrefixes& top, Sampler& sampler, TopPrefixList& list);

  std::span<GateRecord> records_;
  TopPrefixesRecord& top_;
  PrefixHash hash_;
  std::vector<Tally> tallies_;
  TopPrefixes top_syns_;
  TopPrefixes top_strays_;
  Sampler syn_sampler_;
  Sampler stray_sampler_;
  Instant step_begin_;
  Instant step_end_;
  Instant now_;
  std::uint32_t second_ms_ = 1000;  ///< Length of the last two steps.
  std::uint32_t last_step_ms_ = 500;
  std::uint8_t parity_ = 0;
  bool is_active_ = false;
};

}  // namespace sluice::tcp
