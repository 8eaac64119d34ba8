#pragma once

// One connection under load, and one that is only held. Made before the run, used again and again.

#include <cstdint>
#include <optional>
#include <span>

#include "figures.hpp"
#include "response_reader.hpp"
#include "sluice/sluice.hpp"

namespace load {

class Driver;

/// Of what no phase counts: the exchange that tries whether the target answers.
inline constexpr std::uint32_t kNoPhase = 0xffffffffu;

/// A request that was issued and has no answer yet.
struct Pending {
  sluice::Instant due;     ///< Latency counts from here.
  sluice::Instant issued;  ///< The timeout counts from here.
  std::uint32_t phase = kNoPhase;
};

/// Why a connection ended, as the failure that it means; nothing if it means none.
std::optional<Failure> failure_of(sluice::CloseReason reason);
/// The same of a connect() that did not begin; nothing: the program is about to end.
std::optional<Failure> failure_of(sluice::Error error);

class Connection final : public sluice::StreamHandler {
 public:
  /// Both borrowed. `ring` has room for as many requests as may be under way.
  void place(Driver* driver, std::span<Pending> ring) {
    driver_ = driver;
    ring_ = ring;
  }

  /// connect() gave `stream`.
  void begin(sluice::Stream stream, sluice::Instant now);
  /// Puts requests under way, all due at `pending.due`. At most room() of them; of a connection
  /// that is still connecting they go out when it is open.
  void issue(const Pending& pending, std::uint32_t count);
  std::uint32_t room() const {
    return state_ == State::kOpen && !is_last_
               ? static_cast<std::uint32_t>(ring_.size()) - under_way_
               : 0;
  }
  std::uint32_t under_way() const { return under_way_; }
  /// Segments, of the connection that there is now.
  std::uint64_t retransmitted() const {
    const auto info = stream_.info();
    return info ? info->retransmitted_segments : 0;
  }
  /// Gives up what takes longer than the timeout.
  void check(sluice::Instant now);

  bool is_ready = false;  ///< It stands in the driver's queue of those with room.

  void on_open(sluice::Stream stream) override;
  void on_data(sluice::Stream stream, sluice::RxData& data) override;
  void on_writable(sluice::Stream) override { pump(); }
  void on_peer_closed(sluice::Stream stream) override;
  void on_closed(sluice::Stream stream, sluice::CloseReason reason) override;

 private:
  enum class State : std::uint8_t { kClosed, kConnecting, kOpen, kEnding };

  /// Reads answers; gives how many were completed. Sets is_broken_ where they make no sense.
  std::uint32_t read_http(std::span<const std::byte> octets);
  std::uint32_t read_echo(std::span<const std::byte> octets);
  Pending take_first();
  void fail_all(Failure failure);
  void give_up(Failure failure);
  void pump();
  void end();

  Driver* driver_ = nullptr;
  std::span<Pending> ring_;
  sluice::Stream stream_;
  sluice::Instant since_;  ///< Of connect(), or of the end's beginning.
  std::uint32_t first_ = 0;
  std::uint32_t under_way_ = 0;
  std::uint32_t unsent_messages_ = 0;  ///< Not, or not wholly, given to the stack.
  State state_ = State::kClosed;
  bool is_last_ = false;    ///< The server closes behind the answer that came.
  bool is_broken_ = false;  ///< What came makes no sense.
  bool was_open_ = false;
  std::optional<Failure> given_up_;  ///< Why we ended it.
  std::uint64_t sent_of_message_ = 0;
  std::uint64_t echoed_of_message_ = 0;
  ResponseReader reader_;
};

/// Idle, beside the load.
class HeldConnection final : public sluice::StreamHandler {
 public:
  explicit HeldConnection(Driver* driver) : driver_(driver) {}

  void on_open(sluice::Stream) override;
  void on_closed(sluice::Stream stream, sluice::CloseReason reason) override;

 private:
  Driver* driver_;
  bool is_open_ = false;
};

}  // namespace load
