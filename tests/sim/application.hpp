#pragma once

// An application at one end of a connection: does what its EndPlan says through the public API
// only, and checks everything that the API promises it.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sluice/sluice.hpp"
#include "tests/sim/content.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/parameters.hpp"

namespace sluice::sim {

/// What became of one end, for the verdict over both.
struct EndResult {
  std::uint64_t sent = 0;      ///< Octets that send() took.
  std::uint64_t received = 0;  ///< Octets that came, all checked.
  bool is_open = false;        ///< on_open came.
  bool saw_end = false;        ///< The peer's FIN, after all octets before it.
  bool ended_sending = false;  ///< shutdown() or close() was accepted, and all was sent before.
  bool cut_short = false;      ///< abort(), or close() before the peer's end was seen.
  bool saw_urgent = false;
  unsigned closed = 0;  ///< How often on_closed came.
  CloseReason reason = CloseReason::kNormal;
};

class Application final : public StreamHandler {
 public:
  Application(Ledger& ledger, Worker worker, const EndPlan& plan, Content outgoing,
              Content incoming, std::string name);
  ~Application() override;

  /// The connection, as connect() gave it; passive ends learn it from on_open.
  void begin(Stream stream);
  /// The end of all patience: abort(), if it is not closed yet.
  void give_up();
  /// Lets go of packets that are still kept, and of the alarm.
  void release();

  const EndResult& result() const { return result_; }
  const std::string& name() const { return name_; }
  bool is_closed() const { return result_.closed > 0; }
  bool is_done() const { return is_closed() && kept_.empty(); }
  const EndPlan& plan() const { return plan_; }
  /// After the end: every call on the old handle must be refused as stale.
  void check_stale();
  std::string describe() const;

  void on_open(Stream stream) override;
  void on_readable(Stream stream) override;
  void on_data(Stream stream, RxData& data) override;
  void on_peer_closed(Stream stream) override;
  void on_writable(Stream stream) override;
  void on_urgent(Stream stream) override;
  void on_timer(Stream stream) override;
  void on_closed(Stream stream, CloseReason reason) override;

 private:
  enum class Action : std::uint8_t {
    kAbort,
    kAbortOpening,
    kClose,
    kFinish,
    kPause,
    kResume,
    kLetGo,
    kSend
  };
  struct Alarm final : TimerHandler {
    explicit Alarm(Application& of) : end(of) {}
    void on_timer() override { end.on_alarm(); }
    Application& end;
  };

  bool is_call_allowed(Stream stream, const char* callback);
  void at(Instant when, Action action);
  void set_alarm();
  void on_alarm();
  void perform(Action action);
  void send_more();
  void after_sending();
  void take(std::span<const std::byte> octets);
  void take(const RxData& data, std::size_t count);
  void hold_reading(Duration how_long);
  void on_end(Stream stream);
  void finish_sending();
  void do_close();
  void do_abort();
  void misuse_after_shutdown();
  bool is_sent() const;
  template <class Value>
  void must_succeed(const Result<Value, Error>& result, const char* call);
  template <class Value>
  void must_fail(const Result<Value, Error>& result, const char* call,
                 std::initializer_list<Error> expected);

  Ledger& ledger_;
  Worker worker_;
  const EndPlan& plan_;
  Content outgoing_;
  Content incoming_;
  std::string name_;
  Stream stream_;
  EndResult result_;
  Instant opened_at_;
  bool is_over_ = false;  ///< close() or abort() was called: only on_closed may come.
  Instant over_at_;
  bool is_paused_ = false;
  Instant paused_at_;
  bool is_waiting_ = false;      ///< For on_writable or a timer, to send more.
  std::uint64_t looked_at_ = 0;  ///< Octets of the incoming stream that were compared.
  std::vector<std::byte> buffer_;
  std::uint64_t filled_from_ = 0;  ///< What of the outgoing stream lies in `buffer_`.
  std::size_t filled_ = 0;
  std::deque<RxData> kept_;
  std::multimap<Instant, Action> actions_;
  Alarm alarm_{*this};
  std::optional<TimerHandle> alarm_timer_;
};

}  // namespace sluice::sim
