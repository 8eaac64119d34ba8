#include "tcp/gate/attack_detector.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <vector>

namespace {

using namespace sluice::tcp;

constexpr int kSliceMs = 10;
constexpr int kStepMs = 500;

/// SYNs of a listener, drawn in slices of 10 ms: a share of them completes one round trip later.
class Traffic {
 public:
  std::uint32_t half_open = 0;
  std::uint32_t syn_backlog = 1024;
  std::uint32_t prefixes = 500;
  std::uint32_t refused = 0;
  std::uint32_t unaccepted = 0;
  std::uint32_t strays = 0;

  struct Clients {
    double syns_per_s = 0;
    int rtt_ms = 50;
    double completing = 1.0;
  };
  void pass(const std::vector<Clients>& kinds) {
    for (const Clients& clients : kinds) {
      const double syns = clients.syns_per_s * kSliceMs / 1000.0;
      steps_.front().syns += syns;
      pending_.push_back({now_ms_ + clients.rtt_ms, syns * clients.completing});
    }
    now_ms_ += kSliceMs;
    for (Pending& pending : pending_) {
      if (pending.due_ms > now_ms_ || pending.count == 0) continue;
      steps_.front().proved += pending.count;
      pending.count = 0;
    }
    while (!pending_.empty() && pending_.front().count == 0) pending_.pop_front();
    if (now_ms_ % kStepMs == 0) end_step();
  }
  void pass_for(int ms, const std::vector<Clients>& kinds) {
    for (int spent = 0; spent < ms; spent += kSliceMs) pass(kinds);
  }

  GateState state() const { return verdict_.state; }
  GateReason reason() const { return verdict_.reason; }
  GateState worst() const { return worst_; }
  int now_ms() const { return now_ms_; }

 private:
  struct Step {
    double syns = 0;
    double proved = 0;
  };
  struct Pending {
    int due_ms;
    double count;
  };
  void end_step() {
    const auto whole = [](double count) { return static_cast<std::uint32_t>(count + 0.5); };
    const std::uint32_t overdue = whole(steps_[1].syns + steps_[2].syns);
    verdict_ =
        judge({.syns = whole(steps_[0].syns + steps_[1].syns) + refused,
               .refused = refused,
               .unaccepted = unaccepted,
               .strays = strays,
               .prefixes = prefixes,
               .overdue_syns = overdue + refused,
               .overdue_answered = overdue,
               .proved = whole(steps_[0].proved + steps_[1].proved + steps_[2].proved) + unaccepted,
               .half_open = half_open,
               .syn_backlog = syn_backlog},
              verdict_);
    worst_ = std::max(worst_, verdict_.state);
    steps_.push_front({});
    steps_.pop_back();
  }

  int now_ms_ = 0;
  std::deque<Step> steps_{3};
  std::deque<Pending> pending_;
  GateVerdict verdict_;
  GateState worst_ = GateState::kCalm;
};

}  // namespace

TEST_CASE("an honest server stays calm, however its load rises and falls", "[tcp][gate]") {
  for (const int rtt_ms : {1, 60, 300, 500, 700}) {
    for (int offset_ms = 0; offset_ms < kStepMs; offset_ms += kSliceMs) {
      CAPTURE(rtt_ms, offset_ms);
      Traffic traffic;
      traffic.pass_for(offset_ms + kStepMs, {});
      // At once to 100,000 a second; to nothing; a ramp; half of it, through a lossy network.
      traffic.pass_for(3'000, {{100'000, rtt_ms, 1.0}});
      traffic.pass_for(2'000, {});
      for (int ms = 0; ms < 3'000; ms += kSliceMs) traffic.pass({{ms * 10.0, rtt_ms, 1.0}});
      traffic.pass_for(2'000, {{15'000, rtt_ms, 0.8}});
      traffic.pass_for(1'300, {{30, rtt_ms, 0.8}});
      traffic.pass_for(2'000, {});
      // Beyond half a second a crowd that has just come may look odd, but never like an attack.
      CHECK(traffic.worst() <= (rtt_ms <= 500 ? GateState::kCalm : GateState::kPressed));
    }
  }
}

TEST_CASE(
    "a flood of forged SYNs is an attack within two seconds, and over within seven of its end",
    "[tcp][gate]") {
  for (int offset_ms = 0; offset_ms < kStepMs; offset_ms += kSliceMs) {
    CAPTURE(offset_ms);
    Traffic traffic;
    traffic.prefixes = 4'900;
    const Traffic::Clients honest{500, 80, 1.0}, flood{5'000, 0, 0.0};
    traffic.pass_for(5'000 + offset_ms, {honest});
    CHECK(traffic.state() == GateState::kCalm);
    traffic.pass_for(2'000, {honest, flood});
    CHECK(traffic.state() == GateState::kAttack);
    CHECK(traffic.reason() == GateReason::kFloodFromMany);
    traffic.pass_for(20'000, {honest, flood});
    CHECK(traffic.state() == GateState::kAttack);
    traffic.pass_for(4'000, {honest});
    CHECK(traffic.state() == GateState::kAttack);
    traffic.pass_for(3'000, {honest});
    CHECK(traffic.state() == GateState::kCalm);
    CHECK(traffic.reason() == GateReason::kNone);
  }
}

TEST_CASE("a flood that comes and goes stays an attack", "[tcp][gate]") {
  Traffic traffic;
  traffic.pass_for(3'000, {{5'000, 0, 0.0}});
  for (int i = 0; i < 10; ++i) {
    traffic.pass_for(3'000, {{50, 50, 1.0}});
    CHECK(traffic.state() == GateState::kAttack);
    traffic.pass_for(1'000, {{5'000, 0, 0.0}});
  }
}

TEST_CASE("a flood from few prefixes is told from one of forged sources", "[tcp][gate]") {
  Traffic traffic;
  traffic.prefixes = 3;
  traffic.pass_for(2'000, {{1'000, 0, 0.0}});
  CHECK(traffic.state() == GateState::kAttack);
  CHECK(traffic.reason() == GateReason::kFloodFromFew);
}

TEST_CASE("a flood no larger than the honest load is pressure", "[tcp][gate]") {
  Traffic traffic;
  traffic.pass_for(5'000, {{4'000, 80, 1.0}, {5'000, 0, 0.0}});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kFewComplete);
}

TEST_CASE("load balancers that only look at the port are nobody's flood", "[tcp][gate]") {
  Traffic traffic;
  traffic.pass_for(10'000, {{40, 0, 0.0}});
  CHECK(traffic.worst() == GateState::kCalm);
}

TEST_CASE("a slow flood is an attack once it holds the backlog", "[tcp][gate]") {
  Traffic traffic;
  traffic.pass_for(5'000, {{20, 0, 0.0}});
  CHECK(traffic.state() == GateState::kCalm);
  traffic.half_open = 768;
  traffic.pass_for(1'000, {{20, 0, 0.0}});
  CHECK(traffic.state() == GateState::kAttack);
  CHECK(traffic.reason() == GateReason::kBacklogHeld);
  // It ends; its entries stay for their lifetime, and with them the pressure.
  traffic.pass_for(8'000, {});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kBacklogFilling);
  traffic.half_open = 512;
  traffic.pass_for(8'000, {});
  CHECK(traffic.state() == GateState::kPressed);
  traffic.half_open = 511;
  traffic.pass_for(5'000, {});
  CHECK(traffic.state() == GateState::kCalm);
}

TEST_CASE("a backlog of honest clients that is nearly full is pressure, below three quarters not",
          "[tcp][gate]") {
  Traffic traffic;
  traffic.half_open = 767;
  traffic.pass_for(3'000, {{10'000, 75, 1.0}});
  CHECK(traffic.state() == GateState::kCalm);
  traffic.half_open = 768;
  traffic.pass_for(1'000, {{10'000, 75, 1.0}});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kBacklogFilling);
}

TEST_CASE("an honest crowd that finds the backlog full is pressure, not an attack", "[tcp][gate]") {
  Traffic traffic;  // cookies are off
  traffic.refused = 9'000;
  traffic.half_open = traffic.syn_backlog;
  traffic.pass_for(5'000, {{1'000, 80, 1.0}});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kSynsRefused);
}

TEST_CASE("a flood that finds the backlog full and cookies off is an attack", "[tcp][gate]") {
  Traffic traffic;
  traffic.refused = 5'000;
  traffic.half_open = traffic.syn_backlog;
  traffic.pass_for(2'000, {{2, 0, 0.0}});
  CHECK(traffic.state() == GateState::kAttack);
}

TEST_CASE("an application that does not accept is pressure, not an attack", "[tcp][gate]") {
  Traffic traffic;
  traffic.unaccepted = 3'000;
  traffic.pass_for(5'000, {{2'000, 80, 0.0}});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kAcceptQueueFull);
}

TEST_CASE("many strays are pressure: a server that was restarted has them", "[tcp][gate]") {
  Traffic traffic;
  traffic.strays = 9'999;
  traffic.pass_for(2'000, {});
  CHECK(traffic.state() == GateState::kCalm);
  traffic.strays = 10'000;
  traffic.pass_for(1'000, {});
  CHECK(traffic.state() == GateState::kPressed);
  CHECK(traffic.reason() == GateReason::kManyStrays);
}

TEST_CASE("one odd step raises nothing, one mild step lowers nothing", "[tcp][gate]") {
  GateFigures odd;
  odd.strays = 20'000;
  GateVerdict verdict = judge(odd, {});
  CHECK(verdict.state == GateState::kCalm);
  CHECK(judge({}, verdict).state == GateState::kCalm);
  verdict = judge(odd, verdict);
  CHECK(verdict.state == GateState::kPressed);
  for (int step = 0; step < kStepsToFall - 1; ++step) verdict = judge({}, verdict);
  CHECK(verdict.state == GateState::kPressed);
  CHECK(verdict.reason == GateReason::kManyStrays);
  verdict = judge(odd, verdict);
  verdict = judge({}, verdict);
  CHECK(verdict.state == GateState::kPressed);
  for (int step = 0; step < kStepsToFall; ++step) verdict = judge({}, verdict);
  CHECK(verdict == GateVerdict{});
}
