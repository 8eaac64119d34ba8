#pragma once

// A port that wraps a port and writes every frame of both directions to a capture file.

#include <memory>
#include <string>
#include <vector>

#include "packet/port.hpp"

namespace sluice::drivers {

/// A capture file (pcap, nanosecond stamps, Ethernet), written by one thread. A failed write is
/// said once on standard error and ends the capture, never the traffic.
class PcapFile {
 public:
  /// `wall_anchor_ns` is CLOCK_REALTIME less the Instant clock, so that stamps are the time of day.
  /// Throws std::runtime_error with one line if the file cannot be made.
  PcapFile(const std::string& path, std::int64_t wall_anchor_ns);
  ~PcapFile();
  PcapFile(const PcapFile&) = delete;
  PcapFile& operator=(const PcapFile&) = delete;

  void write(const rte_mbuf& frame, Instant now);
  /// Hands buffered frames to the kernel, so that they outlive a crash. Free if there are none.
  void flush();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
  std::vector<unsigned char> scratch_;
  std::int64_t wall_anchor_ns_;
  std::string path_;
  bool is_dirty_ = false;
};

/// Claims no transmit checksum offload, so that egress fills them in and the file shows the frames
/// as they are on the wire.
class PcapWriter final : public packet::PortQueue {
 public:
  /// Both are borrowed and outlive the wrapper.
  PcapWriter(packet::PortQueue& port, PcapFile& file);

  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant now) override;
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) override;
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return port_.mac(); }
  std::string name() const override { return port_.name(); }

 private:
  packet::PortQueue& port_;
  PcapFile& file_;
  packet::PortCapabilities capabilities_;
  // Frames that the port did not take come again, first and in order; they are in the file already.
  std::vector<const rte_mbuf*> written_untaken_;
};

}  // namespace sluice::drivers
