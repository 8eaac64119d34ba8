#pragma once

#include <string_view>

#include "base/address.hpp"

namespace sluice::packetdrill {

/// What `--so_flags` says: words with commas between them.
struct Settings {
  bool mask_psh = false;  ///< `mask_psh`: clear PSH in what packetdrill sees.
  Ipv4Addr address = Ipv4Addr::from_octets(192, 168, 0, 1);  ///< `local_ip=A`: packetdrill's.
};

/// Throws std::invalid_argument at a word that it does not know.
Settings parse_settings(std::string_view flags);

}  // namespace sluice::packetdrill
