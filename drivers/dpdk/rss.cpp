#include "drivers/dpdk/rss.hpp"

#include <rte_ethdev.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace sluice::drivers {
namespace {

// The last is what some ports (QEMU's igb) hash plain IPv6 TCP by, too.
constexpr std::uint64_t kPortTypes =
    RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6_TCP_EX;
constexpr std::uint64_t kAddressTypes = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6;

std::uint64_t hash_types(const rte_eth_dev_info& info) {
  const std::uint64_t ports = info.flow_type_rss_offloads & kPortTypes;
  return (ports & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0 ? ports
                                                     : info.flow_type_rss_offloads & kAddressTypes;
}

/// Octets of the port's hash key. Drivers that say nothing mean 40 (rte_ethdev.h).
std::size_t key_size(const rte_eth_dev_info& info) {
  constexpr std::size_t kDefault = 40;
  return info.hash_key_size != 0 ? info.hash_key_size : kDefault;
}

/// The part of `key` that the port takes; empty if it is too short.
std::span<const std::uint8_t> key_for(const rte_eth_dev_info& info,
                                      std::span<const std::uint8_t> key) {
  return key.size() < key_size(info) ? std::span<const std::uint8_t>{} : key.first(key_size(info));
}

rte_eth_rss_conf rss_conf(std::uint64_t types, std::span<const std::uint8_t> key) {
  rte_eth_rss_conf conf{};
  conf.rss_hf = types;
  if (key.empty()) return conf;
  conf.rss_key = const_cast<std::uint8_t*>(key.data());  // NOLINT: drivers read it only
  conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  return conf;
}

struct Hashing {
  std::vector<std::uint8_t> key;
  std::uint64_t types = 0;
};

/// None if the port does not hash, or does not say how.
std::optional<Hashing> read_hashing(std::uint16_t port_id, std::size_t size) {
  Hashing hashing;
  hashing.key.resize(size);
  rte_eth_rss_conf conf{};
  conf.rss_key = hashing.key.data();
  conf.rss_key_len = static_cast<std::uint8_t>(size);
  if (rte_eth_dev_rss_hash_conf_get(port_id, &conf) != 0) return std::nullopt;
  hashing.types = conf.rss_hf;
  // A driver that does not show its key leaves the zeros; a key of zeros would spread nothing.
  const bool shows_key = std::any_of(hashing.key.begin(), hashing.key.end(),
                                     [](std::uint8_t octet) { return octet != 0; });
  if (!shows_key || (hashing.types & (kPortTypes | kAddressTypes)) == 0) return std::nullopt;
  return hashing;
}

constexpr std::size_t kGroup = RTE_ETH_RETA_GROUP_SIZE;

/// One structure for 64 entries, every entry chosen.
std::vector<rte_eth_rss_reta_entry64> reta_groups(std::size_t size) {
  std::vector<rte_eth_rss_reta_entry64> groups((size + kGroup - 1) / kGroup);
  for (std::size_t entry = 0; entry < size; ++entry)
    groups[entry / kGroup].mask |= std::uint64_t{1} << (entry % kGroup);
  return groups;
}

void set_reta(std::uint16_t port_id, std::span<const std::uint16_t> reta) {
  std::vector<rte_eth_rss_reta_entry64> groups = reta_groups(reta.size());
  for (std::size_t entry = 0; entry < reta.size(); ++entry)
    groups[entry / kGroup].reta[entry % kGroup] = reta[entry];
  static_cast<void>(
      rte_eth_dev_rss_reta_update(port_id, groups.data(), static_cast<std::uint16_t>(reta.size())));
}

std::vector<std::uint16_t> read_reta(std::uint16_t port_id, std::size_t size) {
  std::vector<rte_eth_rss_reta_entry64> groups = reta_groups(size);
  if (size == 0 ||
      rte_eth_dev_rss_reta_query(port_id, groups.data(), static_cast<std::uint16_t>(size)) != 0)
    return {};
  std::vector<std::uint16_t> reta(size);
  for (std::size_t entry = 0; entry < size; ++entry)
    reta[entry] = groups[entry / kGroup].reta[entry % kGroup];
  return reta;
}

}  // namespace

bool has_rss(const rte_eth_dev_info& info) {
  return hash_types(info) != 0;
}

void request_rss(const rte_eth_dev_info& info, std::span<const std::uint8_t> key,
                 rte_eth_conf& conf) {
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
  conf.rx_adv_conf.rss_conf = rss_conf(hash_types(info), key_for(info, key));
}

void withdraw_rss(rte_eth_conf& conf) {
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
  conf.rxmode.offloads &= ~RTE_ETH_RX_OFFLOAD_RSS_HASH;
  conf.rx_adv_conf.rss_conf = {};
}

packet::RssState establish_rss(const rte_eth_dev_info& info, const rte_eth_conf& conf,
                               const RssRequest& request) {
  std::vector<std::uint16_t> wanted_reta(info.reta_size);
  for (std::size_t entry = 0; entry < wanted_reta.size(); ++entry)
    wanted_reta[entry] = static_cast<std::uint16_t>(entry % request.queues);
  if (!wanted_reta.empty()) set_reta(request.port_id, wanted_reta);

  const std::span<const std::uint8_t> wanted_key = key_for(info, request.key);
  const auto is_wanted = [&](const std::vector<std::uint8_t>& key) {
    return std::equal(key.begin(), key.end(), wanted_key.begin(), wanted_key.end());
  };
  std::optional<Hashing> hashing = read_hashing(request.port_id, key_size(info));
  if (!wanted_key.empty() && (!hashing || !is_wanted(hashing->key))) {
    rte_eth_rss_conf update = rss_conf(hash_types(info), wanted_key);
    if (rte_eth_dev_rss_hash_update(request.port_id, &update) == 0)
      hashing = read_hashing(request.port_id, key_size(info));
  }
  std::vector<std::uint16_t> reta = read_reta(request.port_id, wanted_reta.size());
  if (!hashing || reta.empty()) return {};

  packet::RssState state;
  state.kind = is_wanted(hashing->key) && reta == wanted_reta ? packet::RssState::Kind::kProgrammed
                                                              : packet::RssState::Kind::kFixed;
  state.hashes_ports = (hashing->types & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
  state.sets_hash = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0;
  state.key = std::move(hashing->key);
  state.reta = std::move(reta);
  return state;
}

}  // namespace sluice::drivers
