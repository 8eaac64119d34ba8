#pragma once

// A script's socket calls, as what they are here: the engine's user calls. Descriptors are the
// script's own numbers. No call blocks.

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "tests/script/ast.hpp"
#include "tests/script/settings.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::script {

/// What a call gave: a number, or -1 and an errno's name.
struct CallResult {
  std::int64_t value = 0;
  std::string error;
  std::string misuse;  ///< The call is not part of the subset: why.
};

/// The connection under test.
inline constexpr std::uint16_t kLocalPort = 8080;
inline constexpr std::uint16_t kPeerPort = 40000;
inline const IpAddr kPeerAddress = Ipv4Addr::from_octets(10, 0, 0, 1);

class Sockets {
 public:
  /// `settings` may still change until the first call that needs the engine; `rig` makes it.
  Sockets(Settings& settings, std::function<support::TcpRig&()> rig)
      : settings_(settings), rig_(std::move(rig)) {}

  CallResult call(const Call& call);
  /// What the engine told its application since the last time.
  void note(const std::vector<support::ToldEvent>& told);

  /// The connection that accept() or connect() gave last; null when it is gone.
  tcp::Tcb* latest();
  std::uint32_t latest_index() const { return latest_.index; }
  std::uint32_t urgent_told() const { return urgent_told_; }

 private:
  enum class Role : std::uint8_t { kFresh, kListener, kConnection };
  struct Socket {
    Role role = Role::kFresh;
    ListenerHandle listener;
    ConnHandle connection;
    bool is_closed = false;          ///< The engine has told the end.
    bool is_connected = false;       ///< The engine has told the beginning.
    std::string pending_error;       ///< Reported once, as SO_ERROR.
    bool is_reset_on_close = false;  ///< SO_LINGER with time 0.
    std::size_t written = 0;
    std::size_t read = 0;
  };

  CallResult open_socket(const Call& call);
  CallResult listen(Socket& socket);
  CallResult connect(Socket& socket);
  CallResult accept(Socket& socket, const Call& call);
  CallResult write(Socket& socket, const Call& call);
  CallResult read(Socket& socket, const Call& call);
  CallResult shutdown(Socket& socket, const Call& call);
  CallResult close(std::int64_t descriptor);
  CallResult set_option(Socket& socket, const Call& call);
  CallResult set_engine_option(const std::string& name, std::int64_t number);
  CallResult set_congestion(Socket& socket, const Call& call);
  CallResult get_option(Socket& socket, const Call& call);
  CallResult take_error(Socket& socket, std::string otherwise);

  Settings& settings_;
  std::function<support::TcpRig&()> rig_;
  std::map<std::int64_t, Socket> sockets_;
  ConnHandle latest_;
  std::uint32_t urgent_told_ = 0;
};

}  // namespace sluice::script
