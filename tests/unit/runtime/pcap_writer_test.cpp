#include "drivers/middleware/pcap_writer.hpp"

#include <pcap/pcap.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "tests/support/mbuf_pool.hpp"

namespace sluice::drivers {
namespace {

/// Takes only so many frames of a burst; gives back what it is told to.
class FakePort final : public packet::PortQueue {
 public:
  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant) override {
    if (incoming == nullptr) return 0;
    out[0] = std::exchange(incoming, nullptr);
    return 1;
  }
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant) override {
    const std::size_t taken = std::min<std::size_t>(room, frames.size());
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(taken));
    return static_cast<std::uint16_t>(taken);
  }
  const packet::PortCapabilities& capabilities() const override { return can; }
  MacAddr mac() const override { return {}; }
  std::string name() const override { return "fake"; }

  packet::PortCapabilities can;
  rte_mbuf* incoming = nullptr;
  std::size_t room = 8;
};

struct Recorded {
  std::int64_t ns;
  std::vector<std::byte> octets;
};

std::vector<Recorded> read_capture(const std::string& path) {
  char error[PCAP_ERRBUF_SIZE];
  pcap_t* const capture =
      pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error);
  REQUIRE(capture != nullptr);
  std::vector<Recorded> records;
  pcap_pkthdr* header = nullptr;
  const unsigned char* data = nullptr;
  while (pcap_next_ex(capture, &header, &data) == 1) {
    const auto* first = reinterpret_cast<const std::byte*>(data);
    records.push_back({header->ts.tv_sec * 1'000'000'000 + header->ts.tv_usec,
                       std::vector<std::byte>(first, first + header->caplen)});
  }
  pcap_close(capture);
  return records;
}

TEST_CASE("a capture holds both directions, once each, in order and to the nanosecond",
          "[drivers][pcap]") {
  char path[] = "/tmp/sluice-pcap-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  ::close(fd);
  support::TestPools pools;
  const auto first = support::pattern(60), second = support::pattern(80, 5);
  const std::vector<std::vector<std::byte>> segments = {support::pattern(54),
                                                        support::pattern(700)};
  {
    FakePort port;
    port.can.tx_tcp_checksum = port.can.tx_ipv4_checksum = port.can.tx_multi_segment = true;
    PcapFile file(path, 1'000'000'000);
    PcapWriter writer(port, file);
    CHECK_FALSE(writer.capabilities().tx_tcp_checksum);
    CHECK_FALSE(writer.capabilities().tx_ipv4_checksum);
    CHECK(writer.capabilities().tx_multi_segment);

    port.incoming = support::make_packet(pools.receive(), first).release();
    rte_mbuf* in[4];
    REQUIRE(writer.rx_burst(in, Instant::from_ns(7)) == 1);
    rte_pktmbuf_free(in[0]);

    rte_mbuf* out[] = {support::make_packet(pools.receive(), second).release(),
                       support::make_packet(pools.receive(), segments).release()};
    port.room = 1;
    REQUIRE(writer.tx_burst(out, Instant::from_ns(8)) == 1);
    // The frame that was not taken is offered again, and not written again.
    REQUIRE(writer.tx_burst(std::span(out).subspan(1), Instant::from_ns(9)) == 1);
  }
  const auto records = read_capture(path);
  std::filesystem::remove(path);
  REQUIRE(records.size() == 3);
  CHECK(records[0].ns == 1'000'000'007);
  CHECK(records[0].octets == first);
  CHECK(records[1].octets == second);
  CHECK(records[2].ns == 1'000'000'008);
  CHECK(records[2].octets.size() == 754);
  CHECK(pools.mbufs_out() == 0);
}

TEST_CASE("a capture file that cannot be made is one line", "[drivers][pcap]") {
  CHECK_THROWS_WITH(PcapFile("/nonexistent/x.pcap", 0), Catch::Contains("/nonexistent/x.pcap"));
}

}  // namespace
}  // namespace sluice::drivers
