// Drives the plug-in as packetdrill does: preloaded, and loaded with RTLD_DEEPBIND; by the ABI's
// struct, from two threads. A peer of a few lines sits at the other end of its wire.

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tests/packetdrill/interface.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::packetdrill {
namespace {

constexpr Ipv4Addr kOurs = Ipv4Addr::from_octets(192, 168, 0, 1);
constexpr Ipv4Addr kPeers = Ipv4Addr::from_octets(192, 0, 2, 1);
constexpr Port kOurPort{8080};
constexpr Port kPeerPort{40000};

int failures = 0;

#define EXPECT(condition)                                                   \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                           \
    }                                                                       \
  } while (false)

struct Seen {
  wire::TcpHeader header;
  std::size_t payload = 0;
  long long at_us = 0;
  bool is_any = false;
};

class Harness {
 public:
  explicit Harness(Interface& calls) : calls_(calls) {}

  void give(wire::TcpHeader header, std::size_t payload = 0) {
    header.source = kPeerPort;
    header.destination = kOurPort;
    std::vector<std::byte> segment(wire::tcp_header_length(header));
    wire::emit_tcp(header, segment);
    segment.resize(segment.size() + payload);
    wire::Checksum sum;
    const auto length = static_cast<std::uint32_t>(segment.size());
    sum.add_pseudo_header(kPeers, kOurs, wire::ip_protocol::kTcp, length);
    sum.add(segment);
    wire::set_tcp_checksum(segment, sum.finish());

    wire::Ipv4Header ip;
    ip.source = kPeers;
    ip.destination = kOurs;
    ip.protocol = wire::ip_protocol::kTcp;
    ip.ttl = 64;
    ip.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + length);
    std::vector<std::byte> packet(wire::kIpv4MinHeader);
    wire::emit_ipv4(ip, packet);
    wire::set_ipv4_checksum(packet);
    packet.insert(packet.end(), segment.begin(), segment.end());
    EXPECT(calls_.netdev_send(calls_.self, packet.data(), packet.size()) == 0);
  }

  Seen take() {
    std::vector<std::byte> packet(2048);
    std::size_t length = packet.size();
    Seen seen;
    EXPECT(calls_.netdev_receive(calls_.self, packet.data(), &length, &seen.at_us) == 0);
    if (length == 0) return seen;
    packet.resize(length);
    const auto ip = wire::parse_ipv4(packet);
    EXPECT(ip && ip->source == kOurs && ip->destination == kPeers);
    if (!ip) return seen;
    const auto segment = std::span(packet).subspan(ip->header_length);
    EXPECT(wire::parse_tcp(segment, seen.header).ok);
    seen.payload = segment.size() - seen.header.header_length;
    seen.is_any = true;
    return seen;
  }

  long long now_us() {
    timeval now{};
    EXPECT(calls_.gettimeofday(calls_.self, &now, nullptr) == 0);
    return now.tv_sec * 1'000'000LL + now.tv_usec;
  }

 private:
  Interface& calls_;
};

/// Waits until the kernel says that the thread sleeps, as packetdrill does.
void wait_for_sleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (;;) {
    std::ifstream file(path);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    const std::size_t name_end = text.rfind(')');
    if (name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] == 'S')
      return;
    std::this_thread::yield();
  }
}

wire::TcpHeader segment(std::uint8_t flags, std::uint32_t seq, wire::SeqNum ack) {
  wire::TcpHeader header;
  header.flags = flags;
  header.seq = wire::SeqNum(seq);
  header.ack = ack;
  header.window = 65535;
  return header;
}

int listen_on_port(Interface& calls) {
  const int fd = calls.socket(calls.self, AF_INET, SOCK_STREAM, IPPROTO_TCP);
  EXPECT(fd >= 0);
  const int yes = 1;
  EXPECT(calls.setsockopt(calls.self, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kOurPort.value);
  address.sin_addr.s_addr = htonl(kOurs.value);
  EXPECT(calls.bind(calls.self, fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
         0);
  EXPECT(calls.listen(calls.self, fd, 1) == 0);
  return fd;
}

void test_unknown_calls(Interface& calls) {
  EXPECT(calls.socket(calls.self, AF_INET, SOCK_DGRAM, 0) == -1 && errno == EPROTONOSUPPORT);
  EXPECT(calls.listen(calls.self, 4711, 1) == -1 && errno == EBADF);
  EXPECT(calls.epoll_create(calls.self, 1) == -1 && errno == ENOSYS);
}

void test_connection(Interface& calls) {
  Harness wire_end(calls);
  const int listener = listen_on_port(calls);

  // accept() on the other thread waits for the handshake, and gets the time at which it ended.
  int accepted = -1;
  long long answered_us = 0;
  std::atomic<pid_t> thread_id = 0;
  std::thread blocked([&] {
    thread_id = gettid();
    accepted = calls.accept(calls.self, listener, nullptr, nullptr);
    answered_us = wire_end.now_us();
  });
  while (thread_id == 0) std::this_thread::yield();
  wait_for_sleep(thread_id);

  wire::TcpHeader syn = segment(wire::kSyn, 1000, wire::SeqNum(0));
  syn.options.has_mss = true;
  syn.options.mss = 1000;
  syn.options.has_sack_permitted = true;
  wire_end.give(syn);
  const Seen syn_ack = wire_end.take();
  EXPECT(syn_ack.header.flags == (wire::kSyn | wire::kAck));
  EXPECT(syn_ack.header.ack == wire::SeqNum(1001));
  EXPECT(calls.usleep(calls.self, 250'000) == 0);
  const wire::SeqNum ours = syn_ack.header.seq + 1;
  const long long handshake_us = wire_end.now_us();
  wire_end.give(segment(wire::kAck, 1001, ours));
  EXPECT(calls.usleep(calls.self, 1'000'000) == 0);
  blocked.join();
  EXPECT(accepted >= 0);
  EXPECT(answered_us >= handshake_us && answered_us < handshake_us + 1000);

  // PSH is masked; the time of a packet is that of its sending; looking at the clock moves it.
  const std::vector<std::byte> octets(10);
  const long long before_us = wire_end.now_us();
  EXPECT(calls.write(calls.self, accepted, octets.data(), octets.size()) == 10);
  const Seen data = wire_end.take();
  EXPECT(data.payload == 10 && data.header.flags == wire::kAck);
  EXPECT(data.at_us >= before_us && data.at_us <= before_us + 10);
  EXPECT(wire_end.now_us() > before_us);
  wire_end.give(segment(wire::kAck, 1001, ours + 10));

  // What was only looked at is read again; the delayed ACK comes by itself, 40 ms on.
  const long long given_us = wire_end.now_us();
  wire_end.give(segment(wire::kAck, 1001, ours + 10), 100);
  std::vector<std::byte> buffer(1000);
  EXPECT(calls.recv(calls.self, accepted, buffer.data(), buffer.size(), MSG_PEEK) == 100);
  EXPECT(calls.recv(calls.self, accepted, buffer.data(), 60, 0) == 60);
  EXPECT(calls.read(calls.self, accepted, buffer.data(), buffer.size()) == 40);
  EXPECT(calls.recv(calls.self, accepted, buffer.data(), 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  const Seen ack = wire_end.take();
  EXPECT(ack.header.ack == wire::SeqNum(1101) && ack.payload == 0);
  EXPECT(ack.at_us >= given_us + 39'000 && ack.at_us <= given_us + 41'000);

  // libc's own calls on our descriptors end here, for the plug-in is preloaded.
  std::vector<unsigned char> info(400, 0xff);
  auto length = static_cast<socklen_t>(info.size());
  EXPECT(::getsockopt(accepted, IPPROTO_TCP, 11 /* TCP_INFO */, info.data(), &length) == 0);
  EXPECT(length == info.size() && info[0] == 1 && info.back() == 0);  // ESTABLISHED

  wire_end.give(segment(wire::kRst | wire::kAck, 1101, ours + 10));
  int error = 0;
  length = sizeof error;
  EXPECT(calls.getsockopt(calls.self, accepted, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
  EXPECT(error == ECONNRESET);
  EXPECT(::close(accepted) == 0);
  EXPECT(calls.close(calls.self, accepted) == -1 && errno == EBADF);
  EXPECT(calls.close(calls.self, listener) == 0);
  EXPECT(!wire_end.take().is_any);  // nothing will ever come: the script would fail, not hang
}

}  // namespace
}  // namespace sluice::packetdrill

int main(int argc, char** argv) {
  using namespace sluice::packetdrill;
  if (argc != 2) {
    std::printf("usage: %s libsluice-packetdrill.so\n", argv[0]);
    return 2;
  }
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
  if (library == nullptr) {
    std::printf("%s\n", dlerror());
    return 1;
  }
  using Init = void (*)(const char*, Interface*);
  const auto init = reinterpret_cast<Init>(dlsym(library, "packetdrill_interface_init"));
  EXPECT(init != nullptr);
  if (init == nullptr) return 1;
  Interface calls{};
  init("mask_psh", &calls);
  test_unknown_calls(calls);
  test_connection(calls);
  calls.free(calls.self);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
