#pragma once

// ICMP of a host (RFC 792, RFC 1122 3.2.2): answers echo requests, reads errors about what we sent,
// and says "unreachable" where a host must, within rate limits.

#include <cstdint>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/token_bucket.hpp"
#include "ip/address_table.hpp"
#include "ip/ipv4_input.hpp"
#include "packet/packet.hpp"
#include "telemetry/metrics.hpp"
#include "wire/icmp.hpp"

struct rte_mempool;

namespace sluice::ip {

/// What an ICMP error says, in transport's terms.
enum class ErrorKind : std::uint8_t {
  kNetUnreachable,
  kHostUnreachable,
  kProtocolUnreachable,
  kPortUnreachable,
  kFragmentationNeeded,
  kProhibited,
  kTimeExceeded,
  kParameterProblem,
};

/// An ICMP error about a packet that an address of ours has sent.
struct ErrorReport {
  ErrorKind kind = ErrorKind::kNetUnreachable;
  std::uint16_t mtu = 0;    ///< kFragmentationNeeded; 0 from an old router.
  wire::IcmpQuoted quoted;  ///< Its source is ours, its fragment offset 0.
};

/// One worker's ICMP: stateless but for its rate limits.
class IcmpResponder {
 public:
  struct Limits {
    TokenBucket::Limits error;
    TokenBucket::Limits echo;
  };
  explicit IcmpResponder(const Limits& limits)
      : error_bucket_(limits.error), echo_bucket_(limits.echo) {}
  void set_limits(const Limits& limits) {
    error_bucket_.set_limits(limits.error);
    echo_bucket_.set_limits(limits.echo);
  }

  /// What ICMP wants done with a message.
  enum class Action : std::uint8_t { kNone, kReply, kReport };
  struct Verdict {
    telemetry::Outcome outcome;
    Action action = Action::kNone;
    ErrorReport report;  ///< With kReport.
  };
  /// Octets of a message that are looked at, beside its sum: of an error, the longest headers that
  /// it may quote.
  static constexpr std::size_t kMostRead =
      wire::kIcmpHeader + wire::kIpv4MaxHeader + wire::kIcmpQuotedPayload;

  /// Takes a message: `packet` starts at the ICMP header, padding is off, what kMostRead says is in
  /// the first mbuf. On kReply the mbuf, which nobody else may hold, has become the reply's ICMP
  /// message, of `most` octets at most.
  Verdict on_message(rte_mbuf& packet, const Arrival& arrival, const AddressTable& addresses,
                     std::size_t most, Instant now);

  /// Builds "destination unreachable" of `code` about `offender` (which starts at its IP header)
  /// in an mbuf of `pool`: an ICMP message, without IP header. Null where a host must be silent,
  /// above the rate limit or without an mbuf, and counts which.
  packet::PacketPtr unreachable(std::uint8_t code, const rte_mbuf& offender, const Arrival& arrival,
                                rte_mempool& pool, telemetry::Metrics& metrics, Instant now);

 private:
  Verdict on_echo_request(rte_mbuf& packet, const wire::IcmpHeader& header, std::size_t most,
                          Instant now);

  TokenBucket error_bucket_;
  TokenBucket echo_bucket_;
};

/// True if an error may be sent about a packet of this kind at all.
//= rfc1122#3.2.2 MUST
bool may_answer_with_error(const Arrival& arrival);

}  // namespace sluice::ip
