#include "drivers/dpdk/diagnose.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "drivers/dpdk/eal.hpp"

namespace sluice::drivers {
namespace {

/// Value of `key=` in a vdev string; empty if it is not there.
std::string argument(std::string_view device, std::string_view key) {
  for (std::size_t at = device.find(','); at != std::string_view::npos; at = device.find(',', at)) {
    ++at;
    const std::string_view item = device.substr(at, device.find(',', at) - at);
    if (item.size() > key.size() && item.starts_with(key) && item[key.size()] == '=')
      return std::string(item.substr(key.size() + 1));
  }
  return {};
}

/// Tries what the tap driver does and gives the errno of the step that failed; 0 if all went well.
int try_tap(const std::string& interface_name) {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
  interface_name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int error = ::ioctl(fd, TUNSETIFF, &request) < 0 ? errno : 0;
  ::close(fd);
  return error;
}

std::string diagnose_tap(const ProbeFailure& failure) {
  std::string interface_name = argument(failure.device, "iface");
  if (interface_name.size() >= IFNAMSIZ)
    return fmt::format(
        "device {}: interface name '{}' is longer than {} octets: choose a shorter iface=",
        failure.device, interface_name, IFNAMSIZ - 1);
  const int error = try_tap(interface_name);
  switch (error) {
    case EPERM:
    case EACCES:
      return fmt::format(
          "device {}: no right to make a tap device: run as root, with CAP_NET_ADMIN, "
          "or inside 'unshare -Urn'",
          failure.device);
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return fmt::format(
          "device {}: /dev/net/tun is missing: 'modprobe tun', or give the container "
          "that device",
          failure.device);
    case EBUSY:
      return fmt::format(
          "device {}: interface {} is in use by another process: stop it or choose "
          "another iface=",
          failure.device, interface_name);
    case EINVAL:
      return fmt::format(
          "device {}: interface {} exists and is no multi-queue tap: remove it "
          "('ip link del {}') or choose another iface=",
          failure.device, interface_name, interface_name);
    default:
      return {};
  }
}

std::string diagnose_pci(const ProbeFailure& failure) {
  const std::filesystem::path node = std::filesystem::path("/sys/bus/pci/devices") / failure.name;
  std::error_code ignored;
  if (!std::filesystem::exists(node, ignored))
    return fmt::format("device {}: no such PCI device: 'lspci -D' lists them", failure.device);
  const auto driver = std::filesystem::read_symlink(node / "driver", ignored).filename().string();
  if (driver.empty())
    return fmt::format(
        "device {}: no kernel driver is bound to it: 'dpdk-devbind.py -b vfio-pci {}'",
        failure.device, failure.name);
  if (driver != "vfio-pci" && driver != "uio_pci_generic" && driver != "igb_uio")
    return fmt::format(
        "device {}: bound to the kernel's driver {}: 'dpdk-devbind.py -b vfio-pci {}' "
        "(its kernel interface goes away)",
        failure.device, driver, failure.name);
  return fmt::format(
      "device {}: bound to {}, but DPDK could not take it{}{}: is another process "
      "using it, are /dev/vfio's rights right, does DPDK know this NIC?",
      failure.device, driver, failure.complaint.empty() ? "" : ": ", failure.complaint);
}

}  // namespace

std::string obstacle_to(std::string_view device) {
  const std::string interface_name = argument(device, "iface");
  if (!device.starts_with("net_tap") || interface_name.size() >= IFNAMSIZ) return {};
  // A tap that is only there (made ahead by an administrator) is not running until somebody opens
  // it.
  ifreq request{};
  interface_name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  const bool exists = ::ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  ::close(fd);
  if (!exists || (request.ifr_flags & IFF_RUNNING) == 0) return {};
  return fmt::format(
      "device {}: interface {} is in use: stop the process that serves it, or choose "
      "another iface=",
      device, interface_name);
}

std::string diagnose(const ProbeFailure& failure) {
  if (is_pci_address(failure.device)) return diagnose_pci(failure);
  if (failure.name.starts_with("net_tap")) {
    std::string line = diagnose_tap(failure);
    if (!line.empty()) return line;
  }
  const bool is_unknown = failure.complaint.find("failed to parse device") != std::string::npos;
  const bool is_quoted = !is_unknown && !failure.complaint.empty();
  if (is_quoted) return fmt::format("device {}: {}", failure.device, failure.complaint);
  return fmt::format(
      "device {}: {}: a PCI address such as "
      "0000:01:00.0, or a vdev such as net_tap0,iface=sluice0, is expected",
      failure.device, is_unknown ? "DPDK knows no such driver" : "gives no port");
}

std::string tap_interface_name(std::string_view device, unsigned if_index) {
  std::string named = argument(device, "iface");
  if (!named.empty() && named.find('%') == std::string::npos) return named;
  char found[IF_NAMESIZE] = {};
  return ::if_indextoname(if_index, found) != nullptr ? found : named;
}

}  // namespace sluice::drivers
