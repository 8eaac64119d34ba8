#pragma once

#include <sodium.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "content.hpp"
#include "http_parser.hpp"
#include "sluice/sluice.hpp"

namespace httpd {

/// One client's connection. Requests are answered one after the other: while an answer waits for
/// room to send, later requests stay unread, so that a client that never reads fills its own window
/// and no memory here.
class Connection final : public sluice::StreamHandler {
 public:
  explicit Connection(const Content* content) : content_(content) {}

  void on_data(sluice::Stream stream, sluice::RxData& data) override;
  void on_writable(sluice::Stream stream) override;
  void on_peer_closed(sluice::Stream stream) override;
  void on_timer(sluice::Stream stream) override { stream.close(); }

 private:
  enum class State : std::uint8_t {
    kHead,       ///< Reading a request's head.
    kSink,       ///< Reading a body for /sink.
    kAnswering,  ///< Sending the answer.
    kLingering,  ///< Sent the last answer and FIN; discards what still comes.
  };

  void take_head(sluice::Stream stream, sluice::RxData& data);
  void take_body(sluice::Stream stream, sluice::RxData& data);
  void dispatch(sluice::Stream stream, const Request& request);
  void begin_sink(const Request& request);
  void end_sink();
  void answer_text(std::uint16_t status, std::string_view text);
  void answer(std::uint16_t status, std::string_view content_type, std::uint64_t length);
  /// Sends what there is room for; when all is sent goes on to the next request or the end.
  void pump(sluice::Stream stream);
  bool pump_head(sluice::Stream stream);
  bool pump_body(sluice::Stream stream);
  void finish(sluice::Stream stream);

  const Content* content_;
  State state_ = State::kHead;
  bool keep_alive_ = true;
  bool is_head_only_ = false;  ///< The request is HEAD.
  bool peer_closed_ = false;
  std::string_view allowed_;       ///< Methods that an answer of 405 names.
  std::uint16_t head_octets_ = 0;  ///< Of head_.
  std::uint16_t head_sent_ = 0;
  std::uint64_t body_octets_ = 0;
  std::uint64_t body_sent_ = 0;
  std::span<const std::byte> body_;  ///< Repeats if shorter than body_octets_ (the pattern).
  std::uint64_t sink_expected_ = 0;
  std::uint64_t sink_received_ = 0;
  crypto_hash_sha256_state hash_;
  HttpParser parser_;
  std::array<char, 384> head_;
  std::array<char, 128> text_;  ///< A short body made for this answer.
};

}  // namespace httpd
