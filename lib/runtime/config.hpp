#pragma once

// What an operator can set: one struct, filled from defaults, then the file, then flags.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.hpp"
#include "base/time.hpp"
#include "ip/prefix_filter.hpp"
#include "stack/stack.hpp"

namespace sluice::runtime {

enum class IdleMode : std::uint8_t {
  kAuto,  ///< Sleep when every device is virtual, spin when one is not.
  kSpin,
  kSleep,
};

enum class HugePageMode : std::uint8_t { kAuto, kOn, kOff };

/// A family of knobs set at once (profile.cpp); keys that are given besides win.
enum class Profile : std::uint8_t { kWan, kDatacenter, kLatency, kCapacity };

struct Config {
  // [runtime]
  std::string instance = "default";
  std::uint32_t workers = 1;
  std::vector<std::uint32_t> cpus;
  std::vector<Port> listen;  ///< Empty: the program's own ports.
  Duration drain_timeout = Duration::from_s(5);
  Duration exit_when_idle = Duration::zero();
  std::uint64_t replay_seed = 0;
  IdleMode idle = IdleMode::kAuto;
  std::uint32_t idle_spin_rounds = 500;
  std::uint32_t idle_yield_rounds = 50;
  Duration idle_max_sleep = Duration::from_ms(1);

  // [device]
  std::vector<std::string> devices = {"net_tap0,iface=sluice0"};
  std::optional<MacAddr> mac;
  std::uint16_t mtu = 1500;
  std::uint16_t rx_descriptors = 1024;
  std::uint16_t tx_descriptors = 1024;
  bool checksum_offload = true;
  std::string pcap;

  // [dpdk]
  std::uint32_t memory_mb = 0;
  HugePageMode huge_pages = HugePageMode::kAuto;
  bool telemetry = false;
  std::string eal_args;

  bool announce = true;  // [interface]

  Profile profile = Profile::kWan;  // [tcp]

  // [gate]
  std::optional<HashKey> fleet_key;
  std::vector<Prefix> denied_sources;
  std::vector<Prefix> allowed_sources;
  ip::SourceAction other_sources = ip::SourceAction::kAllow;

  // [pools]
  std::uint32_t receive_pkts = 32768;
  std::uint32_t control_pkts = 4096;
  std::uint32_t indirect_pkts = 16384;

  // [interface]
  std::vector<Prefix> addresses = {Prefix{Ipv4Addr::from_octets(10, 0, 0, 2), 24}};
  std::optional<IpAddr> gateway;
  std::vector<stack::RouteConfig> routes;
  std::vector<stack::StaticNeighbor> neighbors;

  // [interface], [neighbor], [icmp], [tcp]: everything of StackConfig but its interfaces.
  stack::StackConfig stack;
};

/// Sets the knobs of `profile`, and no other.
void apply_profile(Config& config, Profile profile);

/// A value as a file or flag gives it.
using Value = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;

struct FlagField {
  bool& (*at)(Config&);
};
struct CountField {
  std::function<std::uint64_t(const Config&)> get;
  std::function<void(Config&, std::uint64_t)> set;
  std::uint64_t least;
  std::uint64_t most;
};
struct DurationField {
  Duration& (*at)(Config&);
  Duration least;
  Duration most;
};
struct TextField {
  std::function<std::string(const Config&)> get;
  std::function<bool(Config&, const std::string&)> set;  ///< False: not what it expects.
  std::string_view expects;
};
struct ListField {
  std::function<std::vector<std::string>(const Config&)> get;
  std::function<void(Config&)> clear;
  std::function<bool(Config&, const std::string&)> add;  ///< False: not what it expects.
  std::string_view expects;
  bool is_numeric;  ///< Items stand in the file without quotes.
};
using Field = std::variant<FlagField, CountField, DurationField, TextField, ListField>;

/// When a changed value comes into force.
enum class Reload : std::uint8_t {
  kRestart,  ///< At the next start: sizes, and what two ends agree on.
  kReload,   ///< When the file is read again (reload.hpp).
  kStream,   ///< The same; a stream can besides set its own at any time.
};

/// One key of the file: everything that the parser, --help and the annotated file know of it.
struct Key {
  std::string_view name;  ///< "section.key"
  std::string_view unit;
  Reload reload;
  std::string_view doc;
  Field field;
};

/// The one table, in the order of config/sluice.toml.
std::span<const Key> keys();
/// Null if there is none of that name.
const Key* find_key(std::string_view name);

/// Sets one key. Gives what is wrong with the value, or nullopt.
std::optional<std::string> set(const Key& key, Config& config, const Value& value);
/// The same from a flag's text; an item of a list is added to it.
std::optional<std::string> set_from_text(const Key& key, Config& config, const std::string& text);
/// The value as the file would have it.
std::string render(const Key& key, const Config& config);
/// "1 to 65535", "true or false", ...: what the key takes.
std::string range_of(const Key& key);
/// What contradicts between keys, as "key: text", the text naming the other keys, each in full;
/// nullopt if nothing.
std::optional<std::string> contradiction(const Config& config);

/// Which keys a file holds, and where.
struct FileKeys {
  std::string path;
  std::map<std::string, std::uint32_t, std::less<>> lines;
};
/// Reads `path` over `config`. Keys are judged alone: what contradicts between them, a flag may
/// mend yet. Throws SetupError "FILE:LINE: ..." with exit code 2.
FileKeys load_file(const std::string& path, Config& config);
/// Throws SetupError with exit code 2 if keys contradict each other, with FILE:LINE of the first
/// key it names that comes from `file`.
void refuse_contradiction(const Config& config, const FileKeys& file);
/// config/sluice.toml: every key with its default, annotated.
std::string annotated_defaults();

/// "200ms", "60s", "5m", "2h", "100us": an integer and a unit, nothing else.
std::optional<Duration> parse_duration(std::string_view text);
std::string to_string(Duration duration);

/// The rules of [gate] deny and allow.
std::vector<ip::PrefixRule> source_rules(const Config& config);
/// One worker's stack, its totals divided by the number of workers.
stack::StackConfig stack_config(const Config& config);
/// `total` over `workers`, rounded up, so that a small total does not become nothing.
std::uint32_t divide(std::uint32_t total, std::uint32_t workers);

}  // namespace sluice::runtime
