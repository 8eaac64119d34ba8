#pragma once

// Octets of HTTP (RFC 9110 5.6.2, RFC 9112): classes by table, runs by vector compare. All is
// inline: a head is a dozen such calls.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace httpd {

inline constexpr std::uint8_t kTokenOctet = 1;  ///< tchar, RFC 9110 5.6.2.
inline constexpr std::uint8_t kHostOctet = 2;   ///< Of a Host: RFC 3986 3.2.2, and ':' of a port.

inline constexpr auto kOctetClasses = [] {
  std::array<std::uint8_t, 256> classes{};
  const auto mark = [&](std::string_view octets, std::uint8_t what) {
    for (const char octet : octets) classes[static_cast<unsigned char>(octet)] |= what;
  };
  for (const std::uint8_t what : {kTokenOctet, kHostOctet}) {
    mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", what);
    mark("-._~!$&'*+%", what);
  }
  mark("#^`|", kTokenOctet);
  mark("(),;=:[]", kHostOctet);
  return classes;
}();

constexpr bool is_octet(char octet, std::uint8_t what) {
  return (kOctetClasses[static_cast<unsigned char>(octet)] & what) != 0;
}

/// The first octet in [at, end) that is a control but no TAB: what ends a line, or has no place in
/// one. `end` if there is none.
inline const char* find_control(const char* at, const char* end) {
#ifdef __SSE2__
  const __m128i last_control = _mm_set1_epi8(0x1f);
  const __m128i del = _mm_set1_epi8(0x7f);
  const __m128i tab = _mm_set1_epi8('\t');
  for (; end - at >= 16; at += 16) {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(octets, last_control), octets);
    const __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(octets, tab), low),
                                     _mm_cmpeq_epi8(octets, del));
    if (const int mask = _mm_movemask_epi8(bad); mask != 0)
      return at + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  for (; at != end; ++at) {
    const auto octet = static_cast<unsigned char>(*at);
    if ((octet < 0x20 && octet != '\t') || octet == 0x7f) break;
  }
  return at;
}

/// The first octet in [at, end) that cannot stand in a target: a blank, a control, or beyond ASCII.
inline const char* find_target_end(const char* at, const char* end) {
#ifdef __SSE2__
  const __m128i first_visible = _mm_set1_epi8(0x21);
  const __m128i del = _mm_set1_epi8(0x7f);
  for (; end - at >= 16; at += 16) {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Signed: octets from 0x80 on are below, too.
    const __m128i bad =
        _mm_or_si128(_mm_cmplt_epi8(octets, first_visible), _mm_cmpeq_epi8(octets, del));
    if (const int mask = _mm_movemask_epi8(bad); mask != 0)
      return at + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  while (at != end && static_cast<unsigned char>(*at) > 0x20 &&
         static_cast<unsigned char>(*at) < 0x7f)
    ++at;
  return at;
}

constexpr char lower(char octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet + ('a' - 'A')) : octet;
}

/// `lower_case` is known to be so.
constexpr bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
  if (text.size() != lower_case.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (lower(text[i]) != lower_case[i]) return false;
  return true;
}

/// Without blanks and tabs around it (OWS).
constexpr std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char octet) { return octet == ' ' || octet == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace httpd
