#include "request_parser.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace httpd {
namespace {

using Status = RequestParser::Status;

/// As if the octets came in pieces of `piece`; the text moves each time.
Status parse_in_pieces(RequestParser& parser, std::string_view text, std::size_t piece,
                       std::string& octets) {
  octets.clear();
  while (octets.size() < text.size()) {
    std::string longer(text.substr(0, octets.size() + piece));
    octets.swap(longer);
    if (const Status status = parser.parse(octets); status != Status::kMore) return status;
  }
  return Status::kMore;
}

std::uint16_t error_of(std::string_view text) {
  RequestParser whole;
  const Status status = whole.parse(text);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    RequestParser parser;
    std::string octets;
    CHECK(parse_in_pieces(parser, text, piece, octets) == status);
    CHECK(parser.error() == whole.error());
  }
  return whole.error();
}

TEST_CASE("a request is the same in whatever pieces it comes", "[httpd][rfc9112]") {
  const std::string head =
      "GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Long-Field-Name-Beyond-All-Bounds: "
      "y\r\nrange: bytes=1-2\r\n\r\n";
  for (std::size_t piece = 1; piece <= head.size() + 9; ++piece) {
    RequestParser parser;
    std::string octets;
    REQUIRE(parse_in_pieces(parser, head + "GET /next", piece, octets) == Status::kComplete);
    CHECK(parser.head_octets() == head.size());
    CHECK(parser.request().method() == Method::kGet);
    CHECK(parser.request().target() == "/a?b=c");
    CHECK(parser.request().range() == "bytes=1-2");
    CHECK(parser.request().keep_alive());
    CHECK_FALSE(parser.request().has_body());
  }
}

TEST_CASE("a head ends where the next request begins", "[httpd][rfc9112]") {
  const std::string first = "\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string both = first + "HEAD /2";
  RequestParser parser;
  REQUIRE(parser.parse(both) == Status::kComplete);
  CHECK(parser.head_octets() == first.size());
  CHECK(parser.request().target() == "/1");
}

TEST_CASE("whether the connection stays follows version and Connection", "[httpd][rfc9112]") {
  const auto keeps = [](std::string_view text) {
    RequestParser parser;
    REQUIRE(parser.parse(text) == Status::kComplete);
    return parser.request().keep_alive();
  };
  CHECK(keeps("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.1\r\nHost: x\r\nconnection: Upgrade, CLOSE\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  CHECK(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
}

TEST_CASE("a body's length and Expect are told", "[httpd][rfc9112]") {
  RequestParser parser;
  REQUIRE(parser.parse("PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length:  12 \r\nExpect: "
                       "100-continue\r\n\r\nabc") == Status::kComplete);
  CHECK(parser.request().method() == Method::kPut);
  CHECK(parser.request().content_length() == 12);
  CHECK(parser.request().expects_continue());
  RequestParser chunked;
  REQUIRE(chunked.parse("POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n") ==
          Status::kComplete);
  CHECK(chunked.request().is_chunked());
}

TEST_CASE("malformed request lines are refused with the status that fits", "[httpd][rfc9112]") {
  CHECK(error_of("GET\r\n") == 400);
  CHECK(error_of("GET /\r\n") == 400);
  CHECK(error_of("GET  / HTTP/1.1\r\n") == 400);
  CHECK(error_of("GET / x HTTP/1.1\r\n") == 400);
  CHECK(error_of(" GET / HTTP/1.1\r\n") == 400);
  CHECK(error_of("G\x01T / HTTP/1.1\r\n") == 400);
  CHECK(error_of("G(T / HTTP/1.1\r\n") == 400);
  CHECK(error_of("\x16\x03\x01") == 400);  // TLS
  CHECK(error_of("GET /\xc3\xa4 HTTP/1.1\r\n") == 400);
  CHECK(error_of("GET / HTTX/1.1\r\n") == 400);
  CHECK(error_of("GET / http/1.1\r\n") == 400);
  CHECK(error_of("GET / HTTP/2.0\r\n") == 505);
  CHECK(error_of("GET / HTTP/0.9\r\n") == 505);
  CHECK(error_of("GET x HTTP/1.1\r\n") == 400);
  CHECK(error_of("GET * HTTP/1.1\r\n") == 400);
  CHECK(error_of("GET https://x/ HTTP/1.1\r\n") == 400);
  CHECK(error_of("OPTIONS * HTTP/1.1\r\n") == 0);
  CHECK(error_of("GET HTTP://x/ HTTP/1.1\r\n") == 0);
  CHECK(error_of("CONNECT x:80 HTTP/1.1\r\n") == 0);
}

TEST_CASE("what others on the way could read otherwise is refused", "[httpd][rfc9112]") {
  const std::string line = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (const char* const fields : {"Host: b\r\n",
                                   "Host: a b\r\n",
                                   "Foo : a\r\n",
                                   " folded\r\n",
                                   "\tfolded\r\n",
                                   ": a\r\n",
                                   "Foo\r\n",
                                   "Foo: a\rb\r\n",
                                   "Foo: a\nBar: b\r\n",
                                   "Foo: a\x7f\r\n",
                                   "\rFoo: a\r\n",
                                   "\n",
                                   "Content-Length: 1\r\nContent-Length: 2\r\n",
                                   "Content-Length: 1\r\nContent-Length: 1\r\n",
                                   "Content-Length: 1, 1\r\n",
                                   "Content-Length: -1\r\n",
                                   "Content-Length: +1\r\n",
                                   "Content-Length: 0x1\r\n",
                                   "Content-Length:\r\n",
                                   "Content-Length: 99999999999999999999\r\n",
                                   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                   "Transfer-Encoding: chunked, chunked\r\n",
                                   "Transfer-Encoding: gzip\r\n",
                                   "Transfer-Encoding: chunked, identity\r\n",
                                   "Transfer-Encoding: \vchunked\r\n",
                                   "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                                   "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"}) {
    INFO(fields);
    CHECK(error_of(line + fields) == 400);
  }
  CHECK(error_of(line + std::string("Foo: \0\r\n", 8)) == 400);
  CHECK(error_of("GET / HTTP/1.1\nHost: a\n\n") == 400);
  CHECK(error_of("\nGET / HTTP/1.1\r\n") == 400);
  CHECK(error_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
  CHECK(error_of("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(error_of(line + "Transfer-Encoding: gzip, chunked\r\n") == 501);
  CHECK(error_of(line + "Expect: something\r\n") == 417);
}

TEST_CASE("a long request line and a long head are bounded", "[httpd][rfc9112]") {
  const std::string fits(RequestParser::kMaxRequestLine - 15, 'a');
  CHECK(error_of("GET /" + fits + " HTTP/1.1\r\n") == 0);
  CHECK(error_of("GET /" + fits + "aa HTTP/1.1\r\n") == 414);
  CHECK(error_of("GET /" + fits + "aaaaaaaaaaaaaaaaaaaa") == 414);
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  while (head.size() <= RequestParser::kMaxHead) head += "Field: value\r\n";
  CHECK(error_of(head) == 431);
  CHECK(error_of(std::string("GET / HTTP/1.1\r\nA: ").append(RequestParser::kMaxHead, 'a')) == 431);
  std::string blank;
  while (blank.size() < RequestParser::kMaxHead) blank += "\r\n";
  CHECK(error_of(blank) == 431);
}

TEST_CASE("a head of exactly the most octets is taken", "[httpd][rfc9112]") {
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
  head.append(RequestParser::kMaxHead - head.size() - 4, 'a').append("\r\n\r\n");
  REQUIRE(head.size() == RequestParser::kMaxHead);
  RequestParser parser;
  CHECK(parser.parse(head) == Status::kComplete);
  CHECK(error_of(head.replace(head.size() - 4, 4, "a\r\n\r\n")) == 431);
}

TEST_CASE("methods are told apart from what is malformed", "[httpd][rfc9112]") {
  const auto method_of = [](const std::string& method) {
    RequestParser parser;
    REQUIRE(parser.parse(method + " /pot HTTP/1.1\r\nHost: x\r\n\r\n") == Status::kComplete);
    return parser.request().method();
  };
  CHECK(method_of("BREW") == Method::kUnknown);
  CHECK(method_of("get") == Method::kUnknown);
  CHECK(method_of("DELETE") == Method::kKnown);
  CHECK(method_of("HEAD") == Method::kHead);
  CHECK(method_of(std::string(100, 'A')) == Method::kUnknown);
}

}  // namespace
}  // namespace httpd
