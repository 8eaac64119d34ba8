#include "drivers/dpdk/eal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pdump.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "drivers/dpdk/device_error.hpp"

namespace sluice::drivers {
namespace {

bool is_hex(std::string_view text, std::size_t least, std::size_t most) {
  return text.size() >= least && text.size() <= most &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
}

// Set once, when EAL starts: the operator asked for DPDK's own messages.
bool is_verbose = false;

/// Keeps back what is written to stdout and stderr past DPDK's log while it lives: EAL prints its
/// whole usage, and getopt and its FATAL lines go to stderr directly.
class OutputCapture {
 public:
  OutputCapture() {
    if (is_verbose) return;
    std::fflush(stdout);
    file_ = ::memfd_create("eal-output", MFD_CLOEXEC);
    if (file_ < 0) return;
    for (int fd = 0; fd < 2; ++fd) {
      kept_[fd] = ::fcntl(fd + 1, F_DUPFD_CLOEXEC, 3);
      // Appending: both write to one file.
      if (kept_[fd] >= 0) ::dup2(file_, fd + 1);
    }
    ::fcntl(file_, F_SETFL, O_APPEND);
  }
  ~OutputCapture() {
    std::fflush(stdout);
    for (int fd = 0; fd < 2; ++fd) {
      if (kept_[fd] < 0) continue;
      ::dup2(kept_[fd], fd + 1);
      ::close(kept_[fd]);
    }
    if (file_ >= 0) ::close(file_);
  }
  OutputCapture(const OutputCapture&) = delete;
  OutputCapture& operator=(const OutputCapture&) = delete;

  /// What getopt says to a word that EAL does not know; empty if it says nothing.
  std::string getopt_complaint(std::string_view program) const {
    std::fflush(stdout);
    char text[4096];
    const ssize_t length = file_ < 0 ? 0 : ::pread(file_, text, sizeof text, 0);
    const std::string_view said(text, length < 0 ? 0 : static_cast<std::size_t>(length));
    const std::string start = fmt::format("{}: ", program);
    for (std::size_t at = 0; at < said.size();) {
      const std::string_view line = said.substr(at, said.find('\n', at) - at);
      if (line.starts_with(start)) return std::string(line.substr(start.size()));
      at += line.size() + 1;
    }
    return {};
  }

 private:
  int file_ = -1;
  int kept_[2] = {-1, -1};
};

std::string lcore_list(const EalOptions& options) {
  std::string list;
  for (unsigned worker = 0; worker < options.workers; ++worker) {
    if (!list.empty()) list += ',';
    if (worker < options.cpus.size()) {
      list += fmt::format("{}@{}", worker, options.cpus[worker]);
    } else {
      // No CPU given: the kernel's scheduler keeps its freedom, which a small shared box needs.
      list += fmt::format("{}@(0-{})", worker, std::max(1L, sysconf(_SC_NPROCESSORS_CONF)) - 1);
    }
  }
  return list;
}

}  // namespace

bool is_pci_address(std::string_view device) {
  const std::size_t dot = device.rfind('.');
  const std::size_t colon = device.rfind(':', dot);
  if (dot == std::string_view::npos || colon == std::string_view::npos) return false;
  const std::string_view function = device.substr(dot + 1, device.find(',') - dot - 1);
  const std::string_view slot = device.substr(colon + 1, dot - colon - 1);
  std::string_view bus = device.substr(0, colon);
  const std::size_t domain_end = bus.find(':');
  if (domain_end != std::string_view::npos) {
    if (!is_hex(bus.substr(0, domain_end), 4, 8)) return false;
    bus = bus.substr(domain_end + 1);
  }
  return is_hex(function, 1, 1) && is_hex(slot, 2, 2) && is_hex(bus, 2, 2);
}

std::string device_name(std::string_view device) {
  std::string name(device.substr(0, device.find(',')));
  if (is_pci_address(device) && std::count(name.begin(), name.end(), ':') == 1)
    return "0000:" + name;
  return name;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> eal_arguments(const EalOptions& options, bool huge_pages_usable) {
  std::vector<std::string> arguments = {options.program, "--file-prefix",
                                        "sluice-" + options.instance, "--lcores",
                                        lcore_list(options)};
  arguments.insert(arguments.end(), {"-m", std::to_string(options.memory_mb)});
  const bool huge = options.huge_pages == HugePages::kOn ||
                    (options.huge_pages == HugePages::kAuto && huge_pages_usable);
  // Without hugepages no second process can attach (dumpcap, proc-info), so the shared files would
  // only stay behind.
  if (!huge) arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
  if (!options.telemetry) arguments.emplace_back("--no-telemetry");
  bool any_pci = false;
  for (const std::string& device : options.devices) {
    if (!is_pci_address(device)) continue;
    any_pci = true;
    arguments.insert(arguments.end(), {"-a", device});
  }
  if (!any_pci) arguments.emplace_back("--no-pci");
  for (std::string& word : split_words(options.extra)) arguments.push_back(std::move(word));
  return arguments;
}

bool huge_pages_usable(unsigned memory_mb) {
  std::uint64_t free_kb = 0;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    std::uint64_t size_kb = 0;
    std::uint64_t count = 0;
    if (std::sscanf(entry.path().filename().c_str(), "hugepages-%lukB", &size_kb) != 1) continue;
    std::ifstream(entry.path() / "free_hugepages") >> count;
    free_kb += size_kb * count;
  }
  if (free_kb < std::uint64_t{memory_mb} * 1024) return false;
  std::ifstream mounts("/proc/mounts");
  std::string device, directory, type, rest;
  while (mounts >> device >> directory >> type && std::getline(mounts, rest))
    if (type == "hugetlbfs" && ::access(directory.c_str(), W_OK) == 0) return true;
  return false;
}

struct LogCapture::Sink {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* stream = nullptr;
};

LogCapture::LogCapture() : sink_(new Sink) {
  if (is_verbose) return;
  sink_->stream = ::open_memstream(&sink_->text, &sink_->size);
  if (sink_->stream != nullptr) rte_openlog_stream(sink_->stream);
}

LogCapture::~LogCapture() {
  rte_openlog_stream(stderr);
  if (sink_->stream != nullptr) std::fclose(sink_->stream);
  std::free(sink_->text);
  delete sink_;
}

std::string LogCapture::first_complaint() {
  if (sink_->stream == nullptr) return {};
  std::fflush(sink_->stream);
  const std::string_view text(sink_->text, sink_->size);
  // The first complaint is the cause; those after it ("Bus (vdev) probe failed") only follow from
  // it.
  std::string found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty() || line.find("Detected") != std::string_view::npos) continue;
    if (line.find("qdisc") != std::string_view::npos) continue;   // net_tap's loss of rte_flow
    if (line.find("signal") != std::string_view::npos) continue;  // net_tap gets none: device.cpp
    found = line;
    break;
  }
  const auto is_control = [](unsigned char c) { return std::iscntrl(c) != 0; };
  // "open_single_rx_pcap(): Couldn't open ..." reads better without the function.
  const std::size_t function = found.find("(): ");
  if (function != std::string::npos && function < found.find(' ')) found.erase(0, function + 4);
  std::replace_if(found.begin(), found.end(), is_control, ' ');
  return found;
}

Eal::Eal(const EalOptions& options) {
  std::vector<std::string> arguments =
      eal_arguments(options, options.huge_pages == HugePages::kAuto &&
                                 drivers::huge_pages_usable(options.memory_mb));
  std::vector<char*> argv;
  argv.reserve(arguments.size());
  for (std::string& argument : arguments) argv.push_back(argument.data());
  is_verbose = options.extra.find("--log-level") != std::string::npos;
  std::string complaint;
  int status = 0, error = 0;
  {
    LogCapture log;
    const OutputCapture output;
    // Its news would stand before its first complaint.
    const int level = rte_log_get_level(RTE_LOGTYPE_EAL);
    if (!is_verbose) rte_log_set_level(RTE_LOGTYPE_EAL, RTE_LOG_WARNING);
    status = rte_eal_init(static_cast<int>(argv.size()), argv.data());
    error = rte_errno;
    if (!is_verbose) rte_log_set_level(RTE_LOGTYPE_EAL, static_cast<unsigned>(level));
    complaint = output.getopt_complaint(options.program);
    if (!complaint.empty()) complaint += ": see dpdk.eal_args (--eal)";
    if (complaint.empty()) complaint = log.first_complaint();
  }
  if (status < 0) {
    // EAL makes this directory first of all.
    ::rmdir(rte_eal_get_runtime_dir());
    if (options.huge_pages == HugePages::kOn && !drivers::huge_pages_usable(options.memory_mb))
      throw DeviceError(fmt::format(
          "dpdk.huge_pages=on: no {} MiB of free huge pages, or no hugetlbfs that can be written: "
          "scripts/nic.sh setup --pages {}, or huge_pages=auto",
          options.memory_mb, (options.memory_mb + 1) / 2));
    std::string command;
    for (const std::string& argument : arguments) command += ' ' + argument;
    if (complaint.empty()) complaint = rte_strerror(error);
    while (complaint.ends_with('.')) complaint.pop_back();
    throw DeviceError(
        fmt::format("DPDK did not start: {}. Its command line was:{}", complaint, command));
  }
  // rte_ip_frag tells of each table that it makes.
  if (!is_verbose) rte_log_set_level(RTE_LOGTYPE_USER1, RTE_LOG_WARNING);
  runtime_directory_ = rte_eal_get_runtime_dir();
  // dpdk-dumpcap and dpdk-pdump attach through this; it needs the shared files of a primary
  // process.
  if (rte_eal_has_hugepages() != 0) static_cast<void>(rte_pdump_init());
}

Eal::~Eal() {
  if (rte_eal_has_hugepages() != 0) static_cast<void>(rte_pdump_uninit());
  rte_eal_cleanup();
  // EAL makes this directory even when it puts nothing there. Not empty: it is left alone.
  ::rmdir(runtime_directory_.c_str());
}

}  // namespace sluice::drivers
