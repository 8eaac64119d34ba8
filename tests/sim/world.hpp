#pragma once

// Two machines, a wire, a stranger, and applications at both ends of every connection. Runs to the
// end of all of them, then judges what they saw.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/application.hpp"
#include "tests/sim/attack/attackers.hpp"
#include "tests/sim/auditor.hpp"
#include "tests/sim/host.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/parameters.hpp"
#include "tests/sim/rejoiner.hpp"
#include "tests/sim/stranger.hpp"
#include "tests/sim/tamper_port.hpp"
#include "tests/sim/troublemaker.hpp"

namespace sluice::sim {

/// A fault that is put in on purpose, to see that the checker finds it.
enum class Canary : std::uint8_t {
  kNone,
  kPayload,  ///< One bit of payload is changed behind TCP's back.
  kLeak,     ///< An mbuf does not come back to its pool.
  kSilence,  ///< The wire goes dead in a world that does not expect it.
  kTrace,    ///< A second run of the same seed differs.
  kSack,     ///< The scoreboard says that a block has come which has not.
  kAck,      ///< One octet that has not come is acknowledged.
  kTimer,    ///< Deadlines are forgotten: only frames wake the stack.
  // Defences that are missing: attackers must get through.
  kResetNumber,  ///< Any RST in the window is believed.
  kDataAck,      ///< Octets are taken whatever they acknowledge.
  kNoCap,        ///< Strays are answered as often as they come.
};

struct RunOptions {
  bool is_verbose = false;
  Canary canary = Canary::kNone;
};

/// What a world leaves behind.
struct WorldResult {
  std::vector<std::string> faults;  ///< Empty: passed.
  std::uint64_t trace = 0;          ///< Of every frame, what became of it and when.
  telemetry::Metrics metrics;       ///< Of all hosts.
  AttackTally tally;
  std::array<std::uint64_t, static_cast<std::size_t>(drivers::FrameFate::kCount)> fates{};
  std::array<std::uint64_t, 16> reasons{};  ///< By CloseReason.
  std::uint64_t given_up = 0;               ///< Connections that outlasted kPatience.
  std::uint64_t octets = 0;                 ///< Received by applications, checked.
  Duration lasted;                          ///< Virtual time.
  std::int64_t bound_used_percent = 0;      ///< Of liveness_bound(), by the slowest orderly end.
};

class World final : public drivers::SimActor,
                    private drivers::LinkObserver,
                    private drivers::LinkFilter {
 public:
  World(const WorldPlan& plan, const RunOptions& options,
        std::array<std::unique_ptr<support::TestPools>, kHosts>& pools);
  ~World() override;

  WorldResult run();

 private:
  /// One life of a planned connection.
  struct Life {
    std::size_t plan = 0;
    std::uint32_t repetition = 0;
    Port client_port;
    std::optional<Error> refused;                      ///< connect() itself failed.
    std::array<std::unique_ptr<Application>, 2> ends;  ///< [0]: the client's.
    bool is_over = false;
    bool is_given_up = false;
  };
  enum class Event : std::uint8_t {
    kStart,
    kLookAround,
    kOutage,
    kOutageOver,
    kPauseAccepting,
    kResumeAccepting,
    kDrain,
    kResetAll
  };
  /// The server's end of a connection that an attacker made.
  struct Guest {
    EndPlan plan;
    std::unique_ptr<Application> end;
  };
  class Passive;
  class PassiveFactory;
  class PullListener;

  void on_event(std::uint64_t token, Instant now) override;
  void on_frame(drivers::FrameFate fate, unsigned direction, std::span<const std::byte> frame,
                Instant now) override;

  void on_sent(unsigned direction, std::vector<std::vector<std::byte>>& frames,
               Instant now) override;

  void tamper(unsigned direction, std::vector<std::byte>& frame, Instant now);

  void at(Duration after_begin, Event event, std::size_t which = 0);
  void listen(unsigned host);
  void pause_listeners(unsigned host, bool is_pausing);
  void close_listeners();
  void start(std::size_t plan, std::uint32_t repetition);
  void connect(Life& life, unsigned end, unsigned host, Port remote);
  /// Null if there is none: `is_forged` says whether that may be.
  Application* passive_end(unsigned host, Stream stream, bool& is_forged);
  bool is_done(const Life& life) const;
  void check_liveness(const Life& life);
  void look_around();
  void give_up(Life& life);
  void run_connections();
  void run_until_idle();

  void let_attackers_in();
  bool left_by_gateway(unsigned direction, std::vector<std::vector<std::byte>>& frames,
                       Instant now);
  Application* guest_end(unsigned host, const Endpoint& remote);
  bool is_forgery(const Endpoint& remote);
  bool are_attackers_done() const;
  void check_memory(Host& host);
  void judge_guests();
  void judge_gate(const Host& host, const telemetry::Metrics& metrics);

  bool is_orderly(const Life& life) const;
  void judge(Life& life);
  void judge_end(const Life& life, const Application& end);
  void judge_reset(const Life& life, const Application& end);
  void judge_silence(const Life& life, const Application& end);
  bool have_timestamps() const;
  bool may_stall(const Life& life) const;
  void judge_direction(const Application& sender, const Application& receiver);
  void judge_orderly(const Life& life);
  bool has_losses() const;
  bool may_miss_its_cookie(const Life& life) const;
  void judge_refusal(const Life& life);
  void judge_metrics(Host& host);

  const WorldPlan& plan_;
  RunOptions options_;
  std::array<std::unique_ptr<support::TestPools>, kHosts>& pools_;
  const Duration liveness_;  ///< By then, from the begin, orderly connections are over.
  Ledger ledger_;
  Auditor auditor_{ledger_};
  Rejoiner rejoiner_;
  drivers::SimClock clock_;
  std::unique_ptr<Troublemaker> troublemaker_;
  std::unique_ptr<drivers::SimLink> link_;
  std::unique_ptr<TamperPort> tamper_;
  std::array<HostPlan, kHosts> host_plans_;  ///< As drawn, but for a canary.
  std::array<std::unique_ptr<Host>, kHosts> hosts_;
  std::unique_ptr<Stranger> stranger_;
  std::unique_ptr<Attackers> attackers_;  ///< Null in most worlds.
  std::array<std::unique_ptr<WatchPort>, kHosts> watches_;
  std::deque<Guest> guests_;
  std::deque<Life> lives_;
  std::array<std::vector<Listener>, kHosts> listeners_;
  std::vector<std::unique_ptr<PullListener>> pull_listeners_;
  std::size_t to_start_ = 0;         ///< Lives that are planned and have not begun.
  std::int64_t passives_alive_ = 0;  ///< Handlers made by factories and not destroyed yet.
  bool is_tainted_ =
      false;  ///< An ARP frame was damaged: it has no checksum, so anything may follow.
  bool is_finished_ = false;
  std::uint64_t trace_ = 0;
  WorldResult result_;
};

}  // namespace sluice::sim
