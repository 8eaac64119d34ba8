// A misbehaving application: any call of the public API at any time, on stale handles and from
// inside callbacks too, with any argument; data kept beyond its stream, handlers destroyed while
// they run. Two such hosts talk over a link that loses and reorders. Octets must arrive as they
// were sent, callbacks come as promised, and in the end nothing may be left.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "tests/fuzz/api_world.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/eal.hpp"

namespace {

using namespace sluice;
using fuzz::ApiWorld;
using fuzz::End;
using fuzz::Input;

constexpr std::size_t kScriptOctets = 12;

class Misuser;

/// The application's side of a stream. `host`'s only.
class Caller final : public StreamHandler {
 public:
  Caller(Misuser& app, unsigned host) : app_(&app), host_(host) {}
  void on_open(Stream stream) override;
  void on_data(Stream stream, RxData& data) override;
  void on_peer_closed(Stream stream) override;
  void on_writable(Stream stream) override;
  void on_urgent(Stream stream) override;
  void on_timer(Stream stream) override;
  void on_closed(Stream stream, CloseReason reason) override;

 private:
  Misuser* app_;
  unsigned host_;
};

class CallerFactory final : public HandlerFactory {
 public:
  CallerFactory(Misuser& app, unsigned host) : app_(app), host_(host) {}
  std::size_t object_size() const override { return sizeof(Caller); }
  std::size_t object_alignment() const override { return alignof(Caller); }
  StreamHandler* construct(void* memory) override { return ::new (memory) Caller(app_, host_); }

 private:
  Misuser& app_;
  unsigned host_;
};

/// What a host's application holds beside its streams.
class HostSide final : public ListenerHandler, public TimerHandler {
 public:
  void on_acceptable(Listener listener) override;
  void on_timer() override;

  Misuser* app = nullptr;
  unsigned host = 0;
  std::array<Listener, 4> listeners;
  std::array<TimerHandle, 4> timers;
  std::array<RxData, 4> kept;
};

class Misuser {
 public:
  Misuser(ApiWorld& world, std::span<const std::uint8_t, kScriptOctets> script) : world_(world) {
    std::copy(script.begin(), script.end(), script_.begin());
    for (unsigned host = 0; host < fuzz::kApiHosts; ++host) {
      sides_[host].app = this;
      sides_[host].host = host;
    }
  }

  /// Any call but those on a stream.
  void host_call(unsigned host, std::uint8_t choice, std::uint8_t value);
  void stream_call(unsigned host, Stream stream, std::uint8_t choice, std::uint8_t value);
  /// A stream of the host that once was, or one that never was.
  Stream any_stream(unsigned host, std::uint8_t which);
  /// One or two calls as the script has it, in a callback.
  void misbehave(unsigned host, Stream stream);
  void take(unsigned host, Stream stream, RxData& data);
  void accept(unsigned host, Listener& listener);
  std::uint8_t next_script() { return script_[script_at_++ % kScriptOctets]; }
  End& enter(unsigned host, Stream stream);
  ApiWorld& world() { return world_; }
  /// Lets go of everything.
  void wind_up();

 private:
  void send(unsigned host, Stream stream, std::size_t count, bool as_text);
  void send_kept(unsigned host, Stream stream, RxData& data);
  void read(unsigned host, Stream stream, std::uint8_t value);
  void change_handler(unsigned host, Stream stream, std::uint8_t value);
  void settings(Stream stream, std::uint8_t choice, std::uint8_t value);
  void connect(unsigned host, std::uint8_t value);
  void listen(unsigned host, std::uint8_t value);
  void note_over(unsigned host, Stream stream, bool has_worked);

  ApiWorld& world_;
  std::array<std::uint8_t, kScriptOctets> script_{};
  std::size_t script_at_ = 0;
  std::array<HostSide, fuzz::kApiHosts> sides_;
};

Duration any_duration(std::uint8_t value) {
  constexpr std::array kChoices = {Duration::from_ms(1),   Duration::zero(),
                                   Duration::from_ns(-1),  Duration::infinite(),
                                   Duration::from_s(20),   Duration::from_s(999'999),
                                   Duration::from_ms(300), Duration::from_us(1)};
  return kChoices[value & 7];
}

std::string_view any_algorithm(std::uint8_t value) {
  constexpr std::array<std::string_view, 8> kNames = {"newreno", "cubic", "dctcp", "bbr",
                                                      "",        "reno",  "bbr2",  "CUBIC"};
  return kNames[value & 7];
}

// --- calls on a stream ---

void Misuser::note_over(unsigned host, Stream stream, bool has_worked) {
  if (has_worked) world_.end_of(host, stream).is_over = true;
}

void Misuser::send(unsigned host, Stream stream, std::size_t count, bool as_text) {
  std::vector<std::byte> octets(count);
  const std::size_t at =
      stream.is_stale() ? 0 : world_.end_of(host, stream).sent.size() + std::size_t{host} * 101;
  for (std::size_t i = 0; i < count; ++i)
    octets[i] = static_cast<std::byte>((at + i) * 37 + ((at + i) >> 8) * 11);
  const std::string_view text(reinterpret_cast<const char*>(octets.data()), count);
  const auto taken = world_.call([&] { return as_text ? stream.send(text) : stream.send(octets); });
  if (!taken) return;
  SLUICE_ASSERT(*taken <= count);
  world_.note_sent(world_.end_of(host, stream), std::span(octets).first(*taken));
}

void Misuser::send_kept(unsigned host, Stream stream, RxData& data) {
  std::vector<std::byte> octets(data.size());
  SLUICE_ASSERT(data.copy_to(octets) == octets.size());
  const auto taken = world_.call([&] { return stream.send(data); });
  SLUICE_ASSERT(data.size() == octets.size() - (taken ? *taken : 0));
  if (taken) world_.note_sent(world_.end_of(host, stream), std::span(octets).first(*taken));
}

void Misuser::read(unsigned host, Stream stream, std::uint8_t value) {
  auto data = world_.call([&] { return stream.read(); });
  if (!data) {
    if (data.error() == Error::kEndOfStream) world_.judge_peer_closed(world_.end_of(host, stream));
    return;
  }
  End& end = world_.end_of(host, stream);
  world_.judge_offered(end, *data);
  end.received += data->size();
#ifdef SLUICE_FUZZ_CANARY
  // The fault that the fuzzer must find: octets are looked at after they were given back.
  const std::span<const std::byte> front = data->front();
  data->consume(data->size());
  if (!front.empty()) static_cast<void>(*const_cast<const volatile std::byte*>(front.data()));
#endif
  if ((value & 1) != 0) sides_[host].kept[value >> 1 & 3] = std::move(*data);
}

/// Another handler, a new one or none; the old one is destroyed at once, though it may be running.
void Misuser::change_handler(unsigned host, Stream stream, std::uint8_t value) {
  StreamHandler* const before = stream.handler();
  StreamHandler* const made = (value & 1) != 0 ? world_.make_handler<Caller>(*this, host) : nullptr;
  const auto changed = world_.call([&] { return stream.set_handler(made); });
  const StreamHandler* const loser = changed ? before : made;
  if (loser != nullptr) static_cast<void>(world_.destroy_handler(loser));
}

void Misuser::settings(Stream stream, std::uint8_t choice, std::uint8_t value) {
  const auto maybe = [&]() -> std::optional<bool> {
    if ((value & 2) != 0) return std::nullopt;
    return (value & 1) != 0;
  };
  world_.call([&]() -> Result<void, Error> {
    switch (choice & 7) {
      case 0:
        return stream.set_nodelay(maybe());
      case 1:
        return stream.set_user_timeout(any_duration(value));
      case 2:
        return stream.set_keepalive((value & 1) != 0);
      case 3:
        return stream.set_congestion(any_algorithm(value));
      case 4:
        return stream.set_pacing(maybe());
      case 5:
        return stream.set_dscp(value);
      case 6:
        return stream.set_timer(any_duration(value));
      default:
        return stream.set_trace((value & 1) != 0);
    }
  });
}

void Misuser::stream_call(unsigned host, Stream stream, std::uint8_t choice, std::uint8_t value) {
  switch (choice & 15) {
    case 0:
    case 1:
      return send(host, stream, value * ((choice & 1) != 0 ? 33u : 1u), (value & 1) != 0);
    case 2:
      return send_kept(host, stream, sides_[host].kept[value & 3]);
    case 3:
    case 4:
      return read(host, stream, value);
    case 5:
      return static_cast<void>(world_.call([&] { return stream.shutdown(); }));
    case 6:
      return note_over(host, stream, world_.call([&] { return stream.close(); }).has_value());
    case 7: {
      const bool has_worked = world_.call([&] { return stream.abort(); }).has_value();
      return note_over(host, stream, has_worked && !stream.is_stale());
    }
    case 8:
      return static_cast<void>(world_.call([&] { return stream.pause_reading(); }));
    case 9:
      return static_cast<void>(world_.call([&] { return stream.resume_reading(); }));
    case 10:
      return change_handler(host, stream, value);
    case 11: {
      const auto info = world_.call([&] { return stream.info(); });
      SLUICE_ASSERT(info.has_value() == !stream.is_stale());
      if (info) world_.judge_info(world_.end_of(host, stream), *info);
      return;
    }
    default:
      return settings(stream, static_cast<std::uint8_t>(choice >> 4), value);
  }
}

Stream Misuser::any_stream(unsigned host, std::uint8_t which) {
  if (which == 0xff || world_.ends() == 0) return Stream{};
  for (std::size_t i = 0; i < world_.ends(); ++i) {  // the newest first
    const End& end = world_.end_at(world_.ends() * 2 - 1 - i - which % world_.ends());
    if (end.host == host) return end.stream;
  }
  return Stream{};
}

// --- calls on a host ---

void Misuser::connect(unsigned host, std::uint8_t value) {
  constexpr std::array kOdd = {Ipv4Addr::from_octets(10, 0, 0, 9), Ipv4Addr{},
                               Ipv4Addr::from_octets(255, 255, 255, 255),
                               Ipv4Addr::from_octets(192, 0, 2, 1)};
  ConnectOptions options;
  options.remote = {fuzz::api_address(1 - host),
                    Port{static_cast<std::uint16_t>(80 + (value & 3))}};
  if ((value & 0x1c) == 0x1c) options.remote.address = kOdd[value >> 5 & 3];
  if ((value & 0x1c) == 0x18) options.remote = {fuzz::api_address(host), Port{80}};
  if ((value & 0x1c) == 0x14) options.remote.port = Port{};
  if ((value & 0x1c) == 0x10) options.local_port = Port{80};
  if ((value & 0x1c) == 0x0c) options.local_address = fuzz::api_address(1 - host);
  if ((value & 0x20) != 0) options.congestion = any_algorithm(value >> 6);
  StreamHandler* const handler =
      (value & 0x80) != 0 && (value & 4) != 0 ? nullptr : world_.make_handler<Caller>(*this, host);
  const auto stream = world_.call([&] { return world_.worker(host).connect(options, handler); });
  if (stream) {
    world_.end_of(host, *stream);
  } else if (handler != nullptr) {
    SLUICE_ASSERT(world_.destroy_handler(handler));
  }
}

void Misuser::listen(unsigned host, std::uint8_t value) {
  ListenOptions options{.port = Port{static_cast<std::uint16_t>(80 + (value & 3))}};
  options.syn_backlog = (value & 8) != 0 ? 1 : 4;
  options.accept_backlog = (value & 16) != 0 ? 1 : 3;
  if ((value & 0xe0) == 0xe0) options.port = Port{};
  if ((value & 0xe0) == 0xc0) options.address = Ipv4Addr::from_octets(192, 0, 2, 1);
  if ((value & 0xe0) == 0xa0) options.address = fuzz::api_address(host);
  if ((value & 0xe0) == 0x80) options.congestion = any_algorithm(value);
  HostSide& side = sides_[host];
  const auto listener = world_.call([&] {
    Worker worker = world_.worker(host);
    return (value & 4) != 0
               ? worker.listen(options, side)
               : worker.listen(options, (value & 0xe3) == 0x63
                                            ? nullptr
                                            : std::make_unique<CallerFactory>(*this, host));
  });
  if (listener) side.listeners[value & 3] = *listener;
}

void Misuser::accept(unsigned host, Listener& listener) {
  StreamHandler* const handler = world_.make_handler<Caller>(*this, host);
  const auto stream = world_.call([&] { return listener.accept(handler); });
  if (stream) {
    world_.end_of(host, *stream);
  } else {
    SLUICE_ASSERT(world_.destroy_handler(handler));
  }
}

void Misuser::host_call(unsigned host, std::uint8_t choice, std::uint8_t value) {
  HostSide& side = sides_[host];
  Listener& listener = side.listeners[value & 3];
  TimerHandle& timer = side.timers[value & 3];
  switch (choice & 15) {
    case 0:
    case 1:
    case 2:
      return connect(host, value);
    case 3:
    case 4:
      return listen(host, value);
    case 5:
    case 6:
      return accept(host, listener);
    case 7:
      return static_cast<void>(world_.call([&] { return listener.pause_accepting(); }));
    case 8:
      return static_cast<void>(world_.call([&] { return listener.resume_accepting(); }));
    case 9:
      return static_cast<void>(world_.call([&] { return listener.close(); }));
    case 10:
      return static_cast<void>(world_.call([&] { return listener.info(); }));
    case 11: {
      const auto made = world_.call(
          [&] { return world_.worker(host).set_timer(any_duration(value >> 2), side); });
      if (made) timer = *made;
      return;
    }
    case 12:
      return world_.worker(host).cancel_timer(timer);
    case 13:
      return side.kept[value & 3].consume(value >> 2);
    case 14:
      side.kept[value & 3] = RxData{};
      return;
    default:
      side.kept[value & 3] = std::move(side.kept[value >> 2 & 3]);
      return;
  }
}

void Misuser::wind_up() {
  world_.begin_ending();
  for (HostSide& side : sides_) {
    for (Listener& listener : side.listeners) static_cast<void>(listener.close());
    for (const TimerHandle timer : side.timers) world_.worker(side.host).cancel_timer(timer);
    for (RxData& data : side.kept) data = RxData{};
  }
}

// --- callbacks ---

End& Misuser::enter(unsigned host, Stream stream) {
  world_.check_not_in_call();
  SLUICE_ASSERT(!stream.is_stale());
  return world_.end_of(host, stream);
}

void Misuser::misbehave(unsigned host, Stream stream) {
  if (world_.is_ending()) return;
  const std::uint8_t how = next_script();
  if ((how & 0xc0) == 0) return;
  const std::uint8_t choice = next_script(), value = next_script();
  if ((how & 0x40) != 0) stream_call(host, stream, choice, value);
  if ((how & 0xe0) == 0xe0) stream_call(host, any_stream(host, how & 7), how, value);
  if ((how & 0xf0) == 0xb0) host_call(host, how, value);
}

/// What is taken of the octets offered: all, some, none; away to keep them, or back to the peer.
void Misuser::take(unsigned host, Stream stream, RxData& data) {
  End& end = world_.end_of(host, stream);
  world_.judge_offered(end, data);
  const std::size_t offered = data.size();
  const std::uint8_t how = world_.is_ending() ? 0 : next_script();
  switch (how & 7) {
    case 0:
    case 1:
      data.consume(offered);
      break;
    case 2:
      data.consume(offered / 2 + 1);
      break;
    case 3:
      break;
    case 4:
    case 5:
      send_kept(host, stream, data);
      break;
    case 6:
      sides_[host].kept[how >> 3 & 3] = std::move(data);
      break;
    default:
      data.consume(1);
      static_cast<void>(world_.call([&] { return stream.pause_reading(); }));
      break;
  }
  end.received += offered - data.size();
  end.offered = data.size();
}

void Caller::on_open(Stream stream) {
  End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(++end.opened == 1 && end.closed == 0 && !end.is_over && end.received == 0);
  app_->misbehave(host_, stream);
}

void Caller::on_data(Stream stream, RxData& data) {
  End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(end.closed == 0 && !end.is_over && !data.empty());
  Misuser& app = *app_;  // this handler may be gone in between
  const unsigned host = host_;
  app.take(host, stream, data);
  app.misbehave(host, stream);
  end.offered = 0;  // what was left goes back to the stream
}

void Caller::on_peer_closed(Stream stream) {
  const End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(end.closed == 0 && !end.is_over);
  app_->world().judge_peer_closed(end);
  const std::uint8_t how = app_->next_script();
  if ((how & 3) == 0) return app_->misbehave(host_, stream);
  app_->stream_call(host_, stream, (how & 3) == 1 ? 5 : 6, 0);
}

void Caller::on_writable(Stream stream) {
  const End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(end.closed == 0 && !end.is_over);
  app_->misbehave(host_, stream);
}

void Caller::on_urgent(Stream stream) {
  SLUICE_ASSERT(stream.is_stale());  // never: nobody here sends urgent octets
}

void Caller::on_timer(Stream stream) {
  const End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(end.closed == 0 && !end.is_over);
  app_->misbehave(host_, stream);
}

void Caller::on_closed(Stream stream, CloseReason) {
  End& end = app_->enter(host_, stream);
  SLUICE_ASSERT(++end.closed == 1);
  Misuser& app = *app_;
  const unsigned host = host_;
  app.misbehave(host, stream);
  // The last call: a handler may go in it. One that a listener made is not ours to destroy.
  static_cast<void>(app.world().destroy_handler(this));
}

void HostSide::on_acceptable(Listener listener) {
  app->world().check_not_in_call();
  const std::uint8_t how = app->next_script();
  for (unsigned count = how & 3; count > 0; --count) app->accept(host, listener);
  if (!app->world().is_ending() && (how & 0xc0) == 0xc0)
    app->host_call(host, how >> 2 & 15, app->next_script());
}

void HostSide::on_timer() {
  app->world().check_not_in_call();
  if (!app->world().is_ending()) app->host_call(host, app->next_script(), app->next_script());
}

/// One operation: a call, and then time, or none.
void step(ApiWorld& world, Misuser& app, Input& input) {
  constexpr std::array<std::int64_t, 8> kMs = {0, 0, 1, 10, 100, 1000, 5000, 40'000};
  const std::uint8_t operation = input.u8();
  const unsigned host = operation & 1;
  const std::uint8_t choice = input.u8(), value = input.u8();
  if ((operation & 2) != 0) {
    app.host_call(host, choice, value);
  } else {
    app.stream_call(host, app.any_stream(host, operation >> 2 & 7), choice, value);
  }
  if ((operation & 0x80) == 0) return world.settle();
  if ((operation & 0x60) == 0x60)
    world.run_for(Duration::from_ms(kMs[choice & 7]), 60);
  else
    world.run_for(Duration::from_ms(kMs[operation >> 5 & 3]), 60);
}

fuzz::ApiPools& pools() {
  constexpr support::TestPools::Sizes kSizes = {.receive = 128, .control = 64, .indirect = 64};
  static fuzz::ApiPools made = {std::make_unique<support::TestPools>(kSizes),
                                std::make_unique<support::TestPools>(kSizes)};
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  support::start_eal();
  pools();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  constexpr int kMostSteps = 150;
  Input input(std::span(data, count));
  const auto config = input.array<ApiWorld::kConfigOctets>();
  const auto script = input.array<kScriptOctets>();
  ApiWorld world(pools(), config);
  Misuser app(world, script);
  constexpr std::uint64_t kMostRounds = 3'000;
  for (int steps = 0; steps < kMostSteps && world.rounds() < kMostRounds && !input.is_empty();
       ++steps)
    step(world, app, input);
  app.wind_up();
  world.end();
  return 0;
}
