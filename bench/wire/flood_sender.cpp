// bench_flood: sends spoofed SYNs out of a kernel interface (a tap, a veth) at a rate, or as fast
// as the interface takes them, by a packet socket past the queueing discipline. Ends with one line
// of JSON: what was sent, what the interface had no room for, and in what time.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <cxxopts.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "bench/wire/spoofed_syn.hpp"
#include "wire/ethernet.hpp"

namespace sluice::bench {
namespace {

constexpr std::size_t kBurst = 32;
constexpr std::int64_t kNs = 1'000'000'000;
// Between bursts. A queue of 1000 frames, as taps have, holds 10 ms at what a tap can take.
constexpr std::int64_t kTickNs = 200'000;
// Frames that were due longer ago are never sent: after a pause of the machine a flood goes on at
// its rate, it does not come at once.
constexpr std::int64_t kMostDebtNs = 2'000'000;

volatile std::sig_atomic_t should_stop = 0;

std::runtime_error failed(const std::string& what) {
  return std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

MacAddr parse_mac(const std::string& text) {
  MacAddr mac;
  unsigned octets[6];
  char rest = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &octets[0], &octets[1], &octets[2],
                  &octets[3], &octets[4], &octets[5], &rest) != 6)
    throw std::runtime_error("no MAC address: " + text);
  std::copy_n(octets, 6, mac.octets.begin());
  return mac;
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNs + now.tv_nsec;
}

void sleep_until(std::int64_t at_ns) {
  const timespec at{.tv_sec = at_ns / kNs, .tv_nsec = at_ns % kNs};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

/// A packet socket on one interface, and room for a burst of frames.
class Interface {
 public:
  explicit Interface(const std::string& name) {
    // Protocol 0: it sends and hears nothing.
    descriptor_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0) throw failed("a packet socket");
    const int on = 1;
    // An interface without a discipline of its own refuses it; then there is none to go past.
    static_cast<void>(setsockopt(descriptor_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
    if (address.sll_ifindex == 0) throw failed(name);
    if (bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw failed(name);
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(descriptor_, SIOCGIFHWADDR, &request) != 0) throw failed(name);
    std::memcpy(mac_.octets.data(), request.ifr_hwaddr.sa_data, mac_.octets.size());
  }
  ~Interface() { close(descriptor_); }
  Interface(const Interface&) = delete;
  Interface& operator=(const Interface&) = delete;

  MacAddr mac() const { return mac_; }

  /// Sends `count` SYNs, at most kBurst. Gives how many there was room for.
  std::size_t send(const SpoofedSyn& syn, Rng& rng, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      syn.stamp(rng, frames_[i]);
      vectors_[i] = {frames_[i].data(), syn.size()};
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
    std::size_t taken = 0;
    for (std::size_t at = 0; at < count;) {
      const int sent =
          sendmmsg(descriptor_, &messages_[at], static_cast<unsigned>(count - at), MSG_DONTWAIT);
      if (sent > 0) {
        taken += static_cast<std::size_t>(sent);
        at += static_cast<std::size_t>(sent);
      } else if (errno == ENOBUFS || errno == EAGAIN) {
        ++at;  // No room for this one: lost, as on a wire.
      } else if (errno != EINTR) {
        throw failed("sending");
      }
    }
    return taken;
  }

 private:
  int descriptor_ = -1;
  MacAddr mac_;
  std::array<std::array<std::byte, 128>, kBurst> frames_{};
  std::array<iovec, kBurst> vectors_{};
  std::array<mmsghdr, kBurst> messages_{};
};

struct Sent {
  std::uint64_t offered = 0;
  std::uint64_t taken = 0;
  double seconds = 0;
};

/// `rate` SYNs a second, 0 for as many as it can, for `seconds` or until SIGTERM.
Sent flood(Interface& interface, const SpoofedSyn& syn, double rate, double seconds) {
  Rng rng(static_cast<std::uint64_t>(now_ns()));
  Sent sent;
  const std::int64_t began = now_ns();
  const std::int64_t end = began + static_cast<std::int64_t>(seconds * 1e9);
  std::int64_t paid_until = began;  // What was due before is sent.
  std::int64_t now = began;
  for (; now < end && should_stop == 0; now = now_ns()) {
    std::size_t count = kBurst;
    if (rate > 0) {
      paid_until = std::max(paid_until, now - kMostDebtNs);
      const double due = static_cast<double>(now - paid_until) * rate / 1e9;
      count = std::min(kBurst, static_cast<std::size_t>(due));
      paid_until += static_cast<std::int64_t>(static_cast<double>(count) / rate * 1e9);
    }
    sent.taken += interface.send(syn, rng, count);
    sent.offered += count;
    if (rate > 0 && count < kBurst) sleep_until(now + kTickNs);
  }
  sent.seconds = static_cast<double>(now - began) / 1e9;
  return sent;
}

int run(int argc, char** argv) {
  cxxopts::Options options("bench_flood", "Spoofed SYNs out of a kernel interface");
  options.add_options()("interface", "a tap or veth of this namespace",
                        cxxopts::value<std::string>())(
      "mac", "the server's", cxxopts::value<std::string>())("address", "the server's",
                                                            cxxopts::value<std::string>())(
      "port", "the server's", cxxopts::value<std::uint16_t>()->default_value("7"))(
      "rate", "SYNs a second; 0: as many as it takes",
      cxxopts::value<double>()->default_value("0"))("seconds", "at most; SIGTERM ends it before",
                                                    cxxopts::value<double>()->default_value("1"));
  const auto given = options.parse(argc, argv);
  in_addr address{};
  if (inet_pton(AF_INET, given["address"].as<std::string>().c_str(), &address) != 1)
    throw std::runtime_error("no IPv4 address");
  std::signal(SIGTERM, [](int) { should_stop = 1; });
  prctl(PR_SET_TIMERSLACK, 1);
  Interface interface(given["interface"].as<std::string>());
  const SpoofedSyn syn({.destination_mac = parse_mac(given["mac"].as<std::string>()),
                        .source_mac = interface.mac(),
                        .address = Ipv4Addr{ntohl(address.s_addr)},
                        .port = Port{given["port"].as<std::uint16_t>()}});
  const Sent sent =
      flood(interface, syn, given["rate"].as<double>(), given["seconds"].as<double>());
  fmt::print("{{\"offered\":{},\"taken\":{},\"seconds\":{:.6f}}}\n", sent.offered, sent.taken,
             sent.seconds);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_flood: %s\n", error.what());
    return 2;
  }
}
