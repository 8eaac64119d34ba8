#pragma once

// The application's side of a TcpRig: user calls with the checks that every test would repeat.

#include <catch2/catch.hpp>
#include <vector>

#include "tcp/user_calls.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::support {

inline ListenerHandle listen_on(TcpRig& rig, std::uint16_t port, std::uint32_t syn_backlog = 0,
                                std::uint32_t accept_backlog = 0) {
  const auto handle = tcp::listen(rig.ctx(), {.address = {},
                                              .port = Port{port},
                                              .syn_backlog = syn_backlog,
                                              .accept_backlog = accept_backlog});
  REQUIRE(handle.has_value());
  return *handle;
}

inline ConnHandle accept_on(TcpRig& rig, ListenerHandle listener) {
  const auto handle = tcp::accept(rig.ctx(), listener);
  REQUIRE(handle.has_value());
  rig.settle();
  return *handle;
}

/// Gives `octets` to the connection; how many it took.
inline std::size_t send_octets(TcpRig& rig, ConnHandle handle, std::span<const std::byte> octets) {
  const auto taken = tcp::send(rig.ctx(), handle, octets);
  REQUIRE(taken.has_value());
  rig.settle();
  return *taken;
}

/// Reads all that is in order, and credits it.
inline std::vector<std::byte> read_octets(TcpRig& rig, ConnHandle handle) {
  std::vector<std::byte> octets;
  {
    auto chain = tcp::receive(rig.ctx(), handle);
    if (!chain) return octets;
    octets = octets_of(*chain);
  }
  tcp::credit(rig.ctx(), handle, static_cast<std::uint32_t>(octets.size()));
  rig.settle();
  return octets;
}

/// A listener on port 80, `peer` connected and accepted; nothing waits to be read.
inline ConnHandle establish(TcpRig& rig, TcpPeer& peer) {
  const ListenerHandle listener = listen_on(rig, 80);
  peer.connect();
  const ConnHandle handle = accept_on(rig, listener);
  static_cast<void>(peer.read());
  static_cast<void>(rig.take_told());
  return handle;
}

/// Ends the rig and fails the test if anything has leaked.
inline void require_nothing_left(TcpRig& rig) {
  rig.require_clean();
  REQUIRE(rig.pools().mbufs_out() == 0);
}

}  // namespace sluice::support
