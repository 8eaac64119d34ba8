#include "http_parser.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "content.hpp"

namespace httpd {
namespace {

struct Parsed {
  HttpParser::Status status = HttpParser::Status::kMore;
  std::size_t taken = 0;
};

/// Feeds `text` in pieces of `piece` octets.
Parsed feed(HttpParser& parser, std::string_view text, std::size_t piece = 1) {
  Parsed parsed;
  while (parsed.taken < text.size() && parsed.status == HttpParser::Status::kMore) {
    const auto next = text.substr(parsed.taken, piece);
    std::size_t taken = 0;
    parsed.status = parser.feed(std::as_bytes(std::span(next.data(), next.size())), taken);
    parsed.taken += taken;
  }
  return parsed;
}

std::uint16_t error_of(std::string_view text) {
  std::uint16_t error = 0;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, text.size()}) {
    HttpParser parser;
    feed(parser, text, piece);
    if (piece != 1) REQUIRE(parser.error() == error);
    error = parser.error();
  }
  return error;
}

TEST_CASE("a request is the same in whatever pieces it comes", "[httpd][rfc9112]") {
  const std::string head =
      "GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Long-Field-Name-Beyond-All-Bounds: "
      "y\r\n\r\n";
  for (std::size_t piece = 1; piece <= head.size(); ++piece) {
    HttpParser parser;
    const Parsed parsed = feed(parser, head + "GET /next", piece);
    REQUIRE(parsed.status == HttpParser::Status::kComplete);
    CHECK(parsed.taken == head.size());
    CHECK(parser.request().method == Method::kGet);
    CHECK(parser.request().target == "/a?b=c");
    CHECK(parser.request().keep_alive);
    CHECK(parser.request().content_length == 0);
  }
}

TEST_CASE("pipelined requests come out one after the other", "[httpd][rfc9112]") {
  const std::string text =
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: x\r\n\r\n";
  HttpParser parser;
  Parsed parsed = feed(parser, text, text.size());
  REQUIRE(parsed.status == HttpParser::Status::kComplete);
  CHECK(parser.request().target == "/1");
  parser.reset();
  CHECK(parser.is_at_start());
  parsed = feed(parser, std::string_view(text).substr(parsed.taken), text.size());
  REQUIRE(parsed.status == HttpParser::Status::kComplete);
  CHECK(parser.request().method == Method::kHead);
  CHECK(parser.request().target == "/2");
}

TEST_CASE("whether the connection stays follows version and Connection", "[httpd][rfc9112]") {
  const auto keeps = [](std::string_view text) {
    HttpParser parser;
    REQUIRE(feed(parser, text).status == HttpParser::Status::kComplete);
    return parser.request().keep_alive;
  };
  CHECK(keeps("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nconnection: Upgrade, CLOSE\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  CHECK(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(keeps("GET / HTTP/1.1\nHost: x\n\n"));
}

TEST_CASE("a body's length and Expect are told", "[httpd][rfc9112]") {
  HttpParser parser;
  REQUIRE(feed(parser,
               "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length:  12 \r\nExpect: "
               "100-continue\r\n\r\nabc")
              .status == HttpParser::Status::kComplete);
  CHECK(parser.request().method == Method::kPut);
  CHECK(parser.request().content_length == 12);
  CHECK(parser.request().expects_continue);
}

TEST_CASE("malformed heads are refused with the status that fits", "[httpd][rfc9112]") {
  CHECK(error_of("GET\r\n") == 400);
  CHECK(error_of("GET  / HTTP/1.1\r\n") == 400);
  CHECK(error_of("G\x01T / HTTP/1.1\r\n") == 400);
  CHECK(error_of("GET / HTTX/1.1\r\n") == 400);
  CHECK(error_of("GET / HTTP/2.0\r\n") == 505);
  CHECK(error_of("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nHost : a\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nHost: a\rb\r\n") == 400);
  CHECK(error_of(std::string_view("GET / HTTP/1.1\r\nHost: \0\r\n", 25)) == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nContent-Length: -1\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n") == 400);
  CHECK(error_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n") == 501);
  CHECK(error_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n") == 501);
  CHECK(error_of("GET / HTTP/1.1\r\nExpect: something\r\n") == 417);
}

TEST_CASE("a long target and a long head are bounded", "[httpd][rfc9112]") {
  const std::string fits(HttpParser::kMaxTarget - 1, 'a');
  CHECK(error_of("GET /" + fits + " HTTP/1.1\r\n") == 0);
  CHECK(error_of("GET /" + fits + "a HTTP/1.1\r\n") == 414);
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  while (head.size() <= HttpParser::kMaxHead) head += "Field: value\r\n";
  CHECK(error_of(head) == 431);
}

TEST_CASE("an unknown method is told apart from a malformed one", "[httpd][rfc9112]") {
  HttpParser parser;
  REQUIRE(feed(parser, "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n").status ==
          HttpParser::Status::kComplete);
  CHECK(parser.request().method == Method::kOther);
}

TEST_CASE("/bytes/N takes a plain number up to 2^40", "[httpd]") {
  CHECK(bytes_target("/bytes/0") == 0u);
  CHECK(bytes_target("/bytes/1099511627776") == std::uint64_t{1} << 40);
  for (const char* wrong : {"/bytes/", "/bytes/1x", "/bytes/-1", "/bytes/1099511627777", "/byte/1"})
    CHECK_FALSE(bytes_target(wrong).has_value());
  CHECK(pattern()[300] == static_cast<std::byte>((197 * 300 + 1) & 0xff));
}

TEST_CASE("without --root the built-in page is served, and no path leads out", "[httpd]") {
  const Content content("");
  CHECK(content.find("/") != nullptr);
  CHECK(content.find("/../etc/passwd") == nullptr);
  CHECK(content.find("/etc/passwd") == nullptr);
}

}  // namespace
}  // namespace httpd
