// What each profile stands for. A knob that differs in one of them is set by all, so that a later
// profile takes back what an earlier one did.

#include "runtime/config.hpp"

namespace sluice::runtime {

void apply_profile(Config& config, Profile profile) {
  const tcp::EngineConfig wan;
  tcp::EngineConfig& tcp = config.stack.tcp;
  config.profile = profile;
  tcp.congestion = wan.congestion;
  tcp.ecn = wan.ecn;
  tcp.rto_min = wan.rto_min;
  tcp.delayed_ack = wan.delayed_ack;
  tcp.quick_acks = wan.quick_acks;
  tcp.nodelay = wan.nodelay;
  tcp.time_wait = wan.time_wait;
  tcp.max_connections = wan.max_connections;
  tcp.max_time_wait = wan.max_time_wait;
  tcp.receive_buffer_bytes = wan.receive_buffer_bytes;
  tcp.receive_buffer_max_bytes = wan.receive_buffer_max_bytes;
  tcp.send_buffer_bytes = wan.send_buffer_bytes;
  tcp.send_buffer_max_bytes = wan.send_buffer_max_bytes;
  switch (profile) {
    case Profile::kWan:
      return;
    case Profile::kDatacenter:
      // Microseconds of round trip, switches that mark: the queue is kept short, timers are too.
      tcp.congestion = tcp::Algorithm::kDctcp;
      tcp.ecn = tcp::EcnMode::kOffer;
      tcp.rto_min = Duration::from_ms(10);
      tcp.delayed_ack = Duration::from_ms(4);
      tcp.time_wait = Duration::from_s(10);
      return;
    case Profile::kLatency:
      // Small questions and answers: nothing waits for company.
      tcp.nodelay = true;
      tcp.quick_acks = 255;
      tcp.delayed_ack = Duration::from_ms(5);
      tcp.rto_min = Duration::from_ms(50);
      return;
    case Profile::kCapacity:
      // Many, mostly idle: memory goes to records and not to buffers.
      tcp.max_connections = 1'048'576;
      tcp.max_time_wait = 262'144;
      tcp.receive_buffer_bytes = tcp.receive_buffer_max_bytes = 64 << 10;
      tcp.send_buffer_bytes = tcp.send_buffer_max_bytes = 64 << 10;
      tcp.time_wait = Duration::from_s(30);
      return;
  }
}

}  // namespace sluice::runtime
