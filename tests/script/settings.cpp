#include "tests/script/settings.hpp"

#include <array>
#include <charconv>
#include <string_view>
#include <variant>

#include "tcp/congestion/controller.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::script {
namespace {

using tcp::EcnMode;
using tcp::EngineConfig;

/// A field of EngineConfig that `--config NAME=VALUE` sets. Table sizes and caps on strangers are
/// not among them: what they do is the unit tests' business.
struct Field {
  std::string_view name;
  std::variant<bool EngineConfig::*, std::uint8_t EngineConfig::*, std::uint16_t EngineConfig::*,
               std::uint32_t EngineConfig::*, Duration EngineConfig::*, EcnMode EngineConfig::*>
      member;
};

const std::array kFields = {
    Field{"receive_buffer_bytes", &EngineConfig::receive_buffer_bytes},
    Field{"send_buffer_bytes", &EngineConfig::send_buffer_bytes},
    Field{"reassembly_segments", &EngineConfig::reassembly_segments},
    Field{"syn_retries", &EngineConfig::syn_retries},
    Field{"syn_ack_retries", &EngineConfig::syn_ack_retries},
    Field{"half_open_lifetime", &EngineConfig::half_open_lifetime},
    Field{"timestamps", &EngineConfig::timestamps},
    Field{"sack", &EngineConfig::sack},
    Field{"window_scaling", &EngineConfig::window_scaling},
    Field{"max_mss", &EngineConfig::max_mss},
    Field{"rto_initial", &EngineConfig::rto_initial},
    Field{"rto_min", &EngineConfig::rto_min},
    Field{"rto_max", &EngineConfig::rto_max},
    Field{"ecn", &EngineConfig::ecn},
    Field{"pacing", &EngineConfig::pacing},
    Field{"black_hole_detection", &EngineConfig::black_hole_detection},
    Field{"initial_window_segments", &EngineConfig::initial_window_segments},
    Field{"user_timeout", &EngineConfig::user_timeout},
    Field{"delayed_ack", &EngineConfig::delayed_ack},
    Field{"quick_acks", &EngineConfig::quick_acks},
    Field{"nodelay", &EngineConfig::nodelay},
    Field{"time_wait", &EngineConfig::time_wait},
    Field{"fin_wait_2", &EngineConfig::fin_wait_2},
    Field{"keepalive", &EngineConfig::keepalive},
    Field{"keepalive_idle", &EngineConfig::keepalive_idle},
    Field{"keepalive_interval", &EngineConfig::keepalive_interval},
    Field{"keepalive_count", &EngineConfig::keepalive_count},
};

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc{} && end == text.data() + text.size();
}

bool read(std::string_view text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
bool read(std::string_view text, EcnMode& value) {
  value = text == "offer" ? EcnMode::kOffer : text == "accept" ? EcnMode::kAccept : EcnMode::kOff;
  return value != EcnMode::kOff || text == "off";
}
template <class Number>
bool read(std::string_view text, Number& value) {
  return read_number(text, value);
}
/// `200ms`, `1s`, `50us`
bool read(std::string_view text, Duration& value) {
  const std::size_t end = text.find_first_not_of("0123456789");
  std::uint32_t count = 0;
  if (end == std::string_view::npos || !read_number(text.substr(0, end), count)) return false;
  const std::string_view unit = text.substr(end);
  if (unit == "us") {
    value = Duration::from_us(count);
  } else if (unit == "ms") {
    value = Duration::from_ms(count);
  } else if (unit == "s") {
    value = Duration::from_s(count);
  } else {
    return false;
  }
  return true;
}

bool set_config(std::string_view text, Settings& settings, std::string& what) {
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const std::string_view value = equals < text.size() ? text.substr(equals + 1) : "";
  if (name == "congestion") {
    const auto algorithm = tcp::algorithm_of(value);
    if (!algorithm) {
      what = "the engine has no congestion control `" + std::string(value) + "`";
      return false;
    }
    settings.engine.congestion = *algorithm;
    return true;
  }
  for (const Field& field : kFields) {
    if (field.name != name) continue;
    const bool is_read =
        std::visit([&](auto member) { return read(value, settings.engine.*member); }, field.member);
    if (!is_read)
      what = "not a value of " + std::string(name) + ": `" + std::string(value) +
             "` (true, false, a number, a time such as 200ms, or for ecn off, accept, offer)";
    return is_read;
  }
  what = "there is no setting `" + std::string(name) + "` (they are listed in settings.cpp)";
  return false;
}

bool set(const HeaderLine& line, Settings& settings, std::string& what) {
  std::uint32_t number = 0;
  if (line.name == "config") return set_config(line.value, settings, what);
  if (line.name == "mtu") return read_number(line.value, settings.mtu) && settings.mtu >= 576;
  if (line.name == "tolerance_usecs") {
    if (!read_number(line.value, number)) return false;
    settings.tolerance = Duration::from_us(number);
    return true;
  }
  if (line.name == "tolerance_percent") {
    if (!read_number(line.value, number)) return false;
    settings.tolerance_percent = number;
    return true;
  }
  what = "there is no header line `--" + line.name +
         "` (config, mtu, tolerance_usecs, tolerance_percent)";
  return false;
}

}  // namespace

Settings Settings::defaults() {
  const EngineConfig small = support::TcpRig::small_config();
  Settings settings;
  EngineConfig& engine = settings.engine;
  engine.max_connections = small.max_connections;
  engine.max_half_open = small.max_half_open;
  engine.max_accept_queue = small.max_accept_queue;
  engine.max_time_wait = small.max_time_wait;
  engine.max_listeners = small.max_listeners;
  engine.max_in_flight = small.max_in_flight;
  engine.recorder_events = small.recorder_events;
  return settings;
}

bool apply_header(const Script& script, Settings& settings, ScriptError& error) {
  for (const HeaderLine& line : script.header) {
    std::string what;
    if (set(line, settings, what)) continue;
    error = {line.line,
             what.empty() ? "not a value of --" + line.name + ": `" + line.value + "`" : what};
    return false;
  }
  return true;
}

}  // namespace sluice::script
