#include "tests/fuzz/option_lists.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sluice::fuzz {

using support::Octets;
using wire::SeqNum;
using wire::TcpOptions;

namespace {

/// RFC 9293 3.1, one number at a time and without shortcuts.
class PlainReader {
 public:
  explicit PlainReader(const Octets& list) : list_(list) {}
  bool read(TcpOptions& options) {
    for (std::size_t at = 0; at < list_.size();) {
      const std::uint32_t kind = number(at, 1);
      if (kind == 0) return true;
      if (kind == 1) {
        ++at;
        continue;
      }
      if (at + 1 >= list_.size()) return false;
      const std::size_t length = number(at + 1, 1);
      if (length < 2 || at + length > list_.size() || !take(kind, length, at + 2, options))
        return false;
      at += length;
    }
    return true;
  }

 private:
  std::uint32_t number(std::size_t at, std::size_t count) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i)
      value = value << 8 | std::to_integer<std::uint32_t>(list_.at(at + i));
    return value;
  }
  bool take(std::uint32_t kind, std::size_t length, std::size_t at, TcpOptions& options) const {
    if (kind == 2 && length == 4) {
      options.has_mss = true;
      options.mss = static_cast<std::uint16_t>(number(at, 2));
    } else if (kind == 3 && length == 3) {
      options.has_window_scale = true;
      options.window_scale = static_cast<std::uint8_t>(number(at, 1));
    } else if (kind == 4 && length == 2) {
      options.has_sack_permitted = true;
    } else if (kind == 5 && length > 2 && (length - 2) % 8 == 0) {
      options.sack_count = static_cast<std::uint8_t>((length - 2) / 8);
      for (std::size_t i = 0; i < options.sack_count; ++i)
        options.sack[i] = {SeqNum(number(at + i * 8, 4)), SeqNum(number(at + i * 8 + 4, 4))};
    } else if (kind == 8 && length == 10) {
      options.has_timestamps = true;
      options.ts_val = number(at, 4);
      options.ts_ecr = number(at + 4, 4);
    } else {
      return kind > 8 || kind == 6 || kind == 7;
    }
    return true;
  }
  const Octets& list_;
};

}  // namespace

void append_u32(Octets& out, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::byte>(value >> shift));
}

void append_option(Octets& list, std::uint8_t kind, std::uint8_t length, const Octets& value) {
  list.push_back(static_cast<std::byte>(kind));
  list.push_back(static_cast<std::byte>(length));
  list.insert(list.end(), value.begin(), value.end());
}

Octets make_list(Input& input) {
  struct Known {
    std::uint8_t kind, value;
  };
  constexpr std::array<Known, 8> kKnown = {Known{2, 2}, {3, 1},  {4, 0},  {5, 8},
                                           {8, 8},      {5, 16}, {5, 24}, {30, 4}};
  Octets list;
  for (unsigned count = input.u8() & 7u; count > 0; --count) {
    const std::uint8_t how = input.u8();
    if ((how & 0xc0) == 0xc0) {
      list.push_back(static_cast<std::byte>(how & 0x0f));  // end, no-operation, or half an option
      continue;
    }
    const Known known = kKnown[how & 7];
    Octets value;
    for (unsigned i = 0; i < known.value; ++i) value.push_back(static_cast<std::byte>(input.u8()));
    const int off = (how & 0x40) == 0 ? 0 : static_cast<int>(how >> 3 & 7) - 4;
    append_option(list, known.kind, static_cast<std::uint8_t>(known.value + 2 + off), value);
  }
  list.resize(std::min(list.size(), wire::kTcpMaxOptions));
  while (list.size() % 4 != 0) list.push_back(std::byte{1});
  return list;
}

bool are_same(const TcpOptions& a, const TcpOptions& b) {
  return a.has_mss == b.has_mss && a.mss == b.mss && a.has_window_scale == b.has_window_scale &&
         a.window_scale == b.window_scale && a.has_sack_permitted == b.has_sack_permitted &&
         a.has_timestamps == b.has_timestamps && a.ts_val == b.ts_val && a.ts_ecr == b.ts_ecr &&
         a.sack_count == b.sack_count && std::equal(a.sack, a.sack + a.sack_count, b.sack);
}

bool read_plainly(const Octets& list, TcpOptions& options) {
  return PlainReader(list).read(options);
}

Octets segment_of(const tcp::FlowKey& flow, const wire::TcpHeader& header, const Octets& list,
                  const Octets& payload) {
  Octets out(wire::kTcpMinHeader);
  wire::TcpHeader bare = header;
  bare.source = flow.remote_port;
  bare.destination = flow.local_port;
  bare.options = {};
  wire::emit_tcp(bare, out);
  out[12] = static_cast<std::byte>((wire::kTcpMinHeader + list.size()) / 4 << 4);
  out.insert(out.end(), list.begin(), list.end());
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

}  // namespace sluice::fuzz
