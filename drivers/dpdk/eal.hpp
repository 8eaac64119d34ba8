#pragma once

// The start of DPDK's environment abstraction layer: its arguments from our configuration.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::drivers {

enum class HugePages : std::uint8_t {
  kAuto,  ///< Used if enough are free, else ordinary pages.
  kOn,
  kOff,
};

struct EalOptions {
  std::string program = "sluice";
  std::string instance =
      "default";  ///< Makes the file prefix, so that processes live side by side.
  std::vector<std::string> devices;  ///< PCI addresses or vdev strings.
  unsigned memory_mb = 256;
  HugePages huge_pages = HugePages::kAuto;
  bool telemetry = false;      ///< DPDK's own telemetry socket.
  std::vector<unsigned> cpus;  ///< CPU of each worker; empty: `workers` is 1 and it floats.
  unsigned workers = 1;        ///< One lcore each, numbered from 0; 0 is the calling thread.
  std::string extra;           ///< Appended as the operator wrote it.
};

/// "0000:01:00.0" or "01:00.0".
bool is_pci_address(std::string_view device);
/// The name under which DPDK knows a device: "net_tap0" of "net_tap0,iface=x", and the full form of
/// a PCI address.
std::string device_name(std::string_view device);
/// Words of `text`; single and double quotes keep blanks together.
std::vector<std::string> split_words(std::string_view text);
/// The command line for rte_eal_init. `huge_pages_usable` is what the machine has.
std::vector<std::string> eal_arguments(const EalOptions& options, bool huge_pages_usable);
/// True if hugepages of `memory_mb` are free and a hugetlbfs mount can be written.
bool huge_pages_usable(unsigned memory_mb);

/// EAL, running from construction to destruction; once in a process. Throws DeviceError.
class Eal {
 public:
  explicit Eal(const EalOptions& options);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

 private:
  std::string runtime_directory_;
};

/// Collects DPDK's log lines while it lives, so that an error can quote the one that matters and a
/// good start says nothing. Lets them pass if EAL was given --log-level.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  /// The first line that tells of a fault, which is the cause of those after it; empty if none.
  std::string first_complaint();

 private:
  struct Sink;
  Sink* sink_;
};

}  // namespace sluice::drivers
