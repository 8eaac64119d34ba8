#include "drivers/middleware/pcap_writer.hpp"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace sluice::drivers {
namespace {

constexpr int kSnapLength = 65535;

struct PcapCloser {
  void operator()(pcap_t* handle) const { pcap_close(handle); }
};
struct DumperCloser {
  void operator()(pcap_dumper_t* dumper) const { pcap_dump_close(dumper); }
};

}  // namespace

struct PcapFile::Handles {
  std::unique_ptr<pcap_t, PcapCloser> handle;
  std::unique_ptr<pcap_dumper_t, DumperCloser> dumper;
};

PcapFile::PcapFile(const std::string& path, std::int64_t wall_anchor_ns)
    : handles_(std::make_unique<Handles>()),
      scratch_(kSnapLength),
      wall_anchor_ns_(wall_anchor_ns),
      path_(path) {
  handles_->handle.reset(
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapLength, PCAP_TSTAMP_PRECISION_NANO));
  if (handles_->handle == nullptr) throw std::runtime_error("no memory for a capture file");
  handles_->dumper.reset(pcap_dump_open(handles_->handle.get(), path.c_str()));
  if (handles_->dumper == nullptr)
    throw std::runtime_error(
        fmt::format("cannot write the capture file: {}", pcap_geterr(handles_->handle.get())));
}

PcapFile::~PcapFile() = default;

void PcapFile::write(const rte_mbuf& frame, Instant now) {
  if (handles_->dumper == nullptr) return;
  const std::int64_t wall_ns = now.ns() + wall_anchor_ns_;
  pcap_pkthdr header{};
  header.ts.tv_sec = wall_ns / 1'000'000'000;
  header.ts.tv_usec = wall_ns % 1'000'000'000;  // nanoseconds in a file of that precision
  header.len = frame.pkt_len;
  header.caplen = std::min<std::uint32_t>(frame.pkt_len, kSnapLength);
  const void* const octets = rte_pktmbuf_read(&frame, 0, header.caplen, scratch_.data());
  auto* const dumper = reinterpret_cast<unsigned char*>(handles_->dumper.get());
  pcap_dump(dumper, &header, static_cast<const unsigned char*>(octets));
  is_dirty_ = true;
  if (std::ferror(pcap_dump_file(handles_->dumper.get())) != 0) {
    fmt::print(stderr, "capture {}: write failed, the capture ends here\n", path_);
    handles_->dumper.reset();
  }
}

void PcapFile::flush() {
  if (!is_dirty_ || handles_->dumper == nullptr) return;
  is_dirty_ = false;
  if (pcap_dump_flush(handles_->dumper.get()) != 0) {
    fmt::print(stderr, "capture {}: write failed, the capture ends here\n", path_);
    handles_->dumper.reset();
  }
}

PcapWriter::PcapWriter(packet::PortQueue& port, PcapFile& file)
    : port_(port), file_(file), capabilities_(port.capabilities()) {
  capabilities_.tx_ipv4_checksum = false;
  capabilities_.tx_tcp_checksum = false;
  capabilities_.tx_tso = false;
  written_untaken_.reserve(1024);
}

std::uint16_t PcapWriter::rx_burst(std::span<rte_mbuf*> out, Instant now) {
  const std::uint16_t received = port_.rx_burst(out, now);
  for (const rte_mbuf* frame : out.first(received)) file_.write(*frame, now);
  if (received == 0) file_.flush();
  return received;
}

std::uint16_t PcapWriter::tx_burst(std::span<rte_mbuf*> frames, Instant now) {
  // Written before the port owns them: a driver may free a frame as soon as it has it.
  for (std::size_t i = 0; i < frames.size(); ++i)
    if (i >= written_untaken_.size() || written_untaken_[i] != frames[i])
      file_.write(*frames[i], now);
  const std::uint16_t taken = port_.tx_burst(frames, now);
  written_untaken_.assign(frames.begin() + taken, frames.end());
  return taken;
}

}  // namespace sluice::drivers
