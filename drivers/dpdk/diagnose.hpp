#pragma once

// Why a device could not be had, in a line that an operator can act on.

#include <string>
#include <string_view>

namespace sluice::drivers {

struct ProbeFailure {
  std::string device;     ///< As configured.
  std::string name;       ///< As DPDK knows it.
  int status;             ///< What rte_dev_probe gave.
  std::string complaint;  ///< The driver's first log line about it.
};

/// What stands in the way of taking `device` although DPDK would take it: a tap that another
/// process serves would be shared frame by frame with it. Empty if nothing.
std::string obstacle_to(std::string_view device);

/// Looks for the cause (rights, a busy or missing device, a misspelt driver) and words it.
std::string diagnose(const ProbeFailure& failure);

/// The kernel's name of a net_tap device's interface: what `iface=` says, else by its index.
std::string tap_interface_name(std::string_view device, unsigned if_index);

}  // namespace sluice::drivers
