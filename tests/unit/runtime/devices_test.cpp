#include <rte_eal.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "drivers/dpdk/diagnose.hpp"
#include "drivers/dpdk/eal.hpp"

namespace sluice::drivers {
namespace {

bool has(const std::vector<std::string>& arguments, const std::string& wanted) {
  return std::find(arguments.begin(), arguments.end(), wanted) != arguments.end();
}

TEST_CASE("PCI addresses are told from vdev strings", "[drivers][dpdk]") {
  for (const char* pci : {"0000:01:00.0", "01:00.0", "0000:af:1f.7", "0000:01:00.0,txq_inline=0"})
    CHECK(is_pci_address(pci));
  for (const char* vdev :
       {"net_tap0,iface=x", "net_pcap0,rx_pcap=/a.b:c.d", "", "01:00", "net_null0"})
    CHECK_FALSE(is_pci_address(vdev));
  CHECK(device_name("01:00.0") == "0000:01:00.0");
  CHECK(device_name("net_tap0,iface=x") == "net_tap0");
}

TEST_CASE("without hugepages and with vdevs only EAL runs on ordinary pages, without PCI",
          "[drivers][dpdk]") {
  EalOptions options;
  options.devices = {"net_tap0,iface=x"};
  const auto arguments = eal_arguments(options, false);
  CHECK(has(arguments, "--no-huge"));
  CHECK(has(arguments, "--no-shconf"));
  CHECK(has(arguments, "--no-pci"));
  CHECK(has(arguments, "sluice-default"));
}

TEST_CASE("a PCI device is allowed and keeps the PCI bus", "[drivers][dpdk]") {
  EalOptions options;
  options.devices = {"0000:01:00.0"};
  options.extra = "--log-level 'pmd.net:debug x'";
  const auto arguments = eal_arguments(options, true);
  CHECK(has(arguments, "-a"));
  CHECK_FALSE(has(arguments, "--no-pci"));
  CHECK_FALSE(has(arguments, "--no-huge"));
  CHECK(arguments.back() == "pmd.net:debug x");
}

TEST_CASE("workers are lcores on the CPUs given", "[drivers][dpdk]") {
  EalOptions options;
  options.workers = 2;
  options.cpus = {1, 3};
  CHECK(has(eal_arguments(options, false), "0@1,1@3"));
}

TEST_CASE("a device that cannot be had is explained in one line", "[drivers][dpdk]") {
  const std::string pci = diagnose({"0000:ff:1f.7", "0000:ff:1f.7", -19, ""});
  CHECK(pci.find("no such PCI device") != std::string::npos);
  const std::string unknown = diagnose({"net_nothing0", "net_nothing0", -22, ""});
  CHECK(unknown.find("net_nothing0") != std::string::npos);
  const std::string name = diagnose({"net_tap0,iface=abcdefghijklmnopq", "net_tap0", -22, ""});
  CHECK(name.find("longer than 15") != std::string::npos);
  for (const std::string& line : {pci, unknown, name}) CHECK(line.find('\n') == std::string::npos);
}

}  // namespace
}  // namespace sluice::drivers
