#include "tests/packetdrill/settings.hpp"

#include <stdexcept>
#include <string>

namespace sluice::packetdrill {
namespace {

constexpr std::string_view kLocalIp = "local_ip=";

}  // namespace

Settings parse_settings(std::string_view flags) {
  Settings settings;
  while (!flags.empty()) {
    const std::string_view word = flags.substr(0, flags.find(','));
    flags.remove_prefix(std::min(flags.size(), word.size() + 1));
    if (word == "mask_psh") {
      settings.mask_psh = true;
    } else if (word.substr(0, kLocalIp.size()) == kLocalIp) {
      const auto address = parse_ip(word.substr(kLocalIp.size()));
      if (!address || !address->is_v4())
        throw std::invalid_argument("not an IPv4 address: " + std::string(word));
      settings.address = address->v4();
    } else {
      throw std::invalid_argument("unknown flag: " + std::string(word));
    }
  }
  return settings;
}

}  // namespace sluice::packetdrill
