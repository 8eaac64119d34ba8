#pragma once

#include <cstdint>
#include <string_view>

#include "answer.hpp"
#include "sluice/sluice.hpp"
#include "worker_context.hpp"

namespace httpd {

/// One client's connection. Requests that came together are answered together; an answer that finds
/// no room waits as a value, and later requests stay unread, so that a client that never reads
/// fills its own window and no memory here.
class Connection final : public sluice::StreamHandler {
 public:
  explicit Connection(WorkerContext* worker) : worker_(worker) {}

  void on_open(sluice::Stream stream) override;
  void on_data(sluice::Stream stream, sluice::RxData& data) override;
  void on_writable(sluice::Stream stream) override;
  void on_peer_closed(sluice::Stream stream) override;
  void on_timer(sluice::Stream stream) override;
  void on_closed(sluice::Stream stream, sluice::CloseReason reason) override;

  /// The client was too slow with a head, a body or its next request: says so, and closes.
  void give_up_waiting(sluice::Stream stream);

 private:
  enum class State : std::uint8_t {
    kHead,       ///< Reading a request's head.
    kBody,       ///< Reading a body for /sink.
    kAnswering,  ///< An answer waits for room.
    kLingering,  ///< Sent the last answer and FIN; discards what still comes.
  };

  /// Answers the requests in the first run of `data`; consumes these, and their bodies' begin.
  void take_heads(sluice::Stream stream, sluice::RxData& data);
  void begin_partial(sluice::Stream stream, const RequestParser& parser, std::string_view octets);
  void take_partial(sluice::Stream stream, sluice::RxData& data);
  /// Octets of the run that are done with; so for all below.
  std::size_t serve(sluice::Stream stream, const Request& request, std::size_t done,
                    std::size_t end, bool has_more);
  /// Dates `answer`, and sends it or has it wait for those behind it.
  std::size_t add_answer(sluice::Stream stream, Answer& answer, std::size_t done, std::size_t end);
  /// Sends the batch. What of it finds no room is left: the first such answer as answer_, requests
  /// behind it unread.
  std::size_t flush(sluice::Stream stream, std::size_t done);

  void note_answer(std::uint16_t status);

  void send_continue(sluice::Stream stream);
  void begin_upload(sluice::Stream stream, const Request& request, const Answer& answer);
  void take_body(sluice::Stream stream, sluice::RxData& data);
  void end_upload(sluice::Stream stream);
  void answer_status(sluice::Stream stream, Answer answer, Route format);
  /// Answers with `status`, after which the connection ends.
  void refuse(sluice::Stream stream, std::uint16_t status);

  void start(sluice::Stream stream, const Answer& answer);
  /// Sends of answer_ what there is room for; when all is sent goes on to the next request or the
  /// end.
  void pump(sluice::Stream stream);
  /// False if there is no more room for now.
  bool send_some(sluice::Stream stream, std::span<const std::byte> octets);
  /// FIN, and then what the client still sends is discarded.
  void end_answers(sluice::Stream stream);
  void release_blocks();

  WorkerContext* worker_;
  sluice::Instant since_;    ///< Of the last request's end, a head's begin, or a body's last octet.
  sluice::Instant arrived_;  ///< When the requests at hand had come, at the latest.
  PartialHead* partial_ = nullptr;
  Upload* upload_ = nullptr;
  Page* page_ = nullptr;
  State state_ = State::kHead;
  bool peer_closed_ = false;
  bool has_unread_ = false;  ///< Requests wait since arrived_.
  bool is_first_ = true;     ///< No request was answered yet.
  std::uint64_t sent_ = 0;   ///< Octets of answer_, its head included.
  Answer answer_;
};

static_assert(sizeof(Connection) <= 192);

}  // namespace httpd
