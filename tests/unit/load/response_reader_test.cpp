#include "apps/load/response_reader.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace load {
namespace {

using Status = ResponseReader::Status;

struct Read {
  std::vector<ResponseHead> responses;
  bool is_error = false;
  bool may_end = false;
};

/// Feeds `text` in pieces of `piece` octets.
Read read(std::string_view text, std::size_t piece, HeadMemory& memory) {
  ResponseReader reader;
  Read result;
  for (std::size_t at = 0; at < text.size() && !result.is_error;) {
    auto octets = std::as_bytes(std::span(text.substr(at, piece)));
    at += octets.size();
    while (!octets.empty()) {
      std::size_t taken = 0;
      const Status status = reader.feed(octets, taken, memory);
      REQUIRE(taken <= octets.size());
      octets = octets.subspan(taken);
      result.is_error = status == Status::kError;
      if (result.is_error) break;
      if (status == Status::kComplete) result.responses.push_back(reader.response());
      if (status == Status::kMore) REQUIRE(octets.empty());
    }
  }
  result.may_end = reader.may_end_here();
  return result;
}

/// The same in whatever pieces, with and without a memory of heads.
Read read_all_ways(const std::string& text) {
  HeadMemory memory;
  const Read whole = read(text, text.size(), memory);
  for (const std::size_t piece : {1u, 2u, 3u, 7u, 16u, 64u, 1000u}) {
    INFO("pieces of " << piece);
    const Read other = read(text, piece, memory);
    REQUIRE(other.is_error == whole.is_error);
    REQUIRE(other.responses.size() == whole.responses.size());
    REQUIRE(other.may_end == whole.may_end);
    for (std::size_t i = 0; i < whole.responses.size(); ++i) {
      REQUIRE(other.responses[i].status == whole.responses[i].status);
      REQUIRE(other.responses[i].closes == whole.responses[i].closes);
      REQUIRE(other.responses[i].length == whole.responses[i].length);
    }
  }
  return whole;
}

const std::string kPlain =
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHutu!";

TEST_CASE("responses that follow each other are told apart", "[load][rfc9112]") {
  const Read result = read_all_ways(kPlain + kPlain +
                                    "HTTP/1.1 404 Not Found\r\ncontent-LENGTH:0\r\n\r\n" + kPlain);
  REQUIRE(result.responses.size() == 4);
  CHECK(result.responses[0].status == 200);
  CHECK(result.responses[0].length == 5);
  CHECK(result.responses[2].status == 404);
  CHECK(result.responses[3].status == 200);
  CHECK_FALSE(result.responses[3].closes);
  CHECK(result.may_end);
}

TEST_CASE("a response that is cut off is not complete, and may not end there", "[load][rfc9112]") {
  for (std::size_t length = 1; length < kPlain.size(); ++length) {
    HeadMemory memory;
    const Read result = read(kPlain.substr(0, length), length, memory);
    CHECK(result.responses.empty());
    CHECK_FALSE(result.is_error);
    CHECK_FALSE(result.may_end);
  }
}

TEST_CASE("chunks are counted and passed over", "[load][rfc9112]") {
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nHutu!\r\n1a;note=1\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: x\r\n\r\n";
  const Read result = read_all_ways(chunked + kPlain);
  REQUIRE(result.responses.size() == 2);
  CHECK(result.responses[0].body == ResponseHead::Body::kChunked);
  CHECK(result.responses[1].body == ResponseHead::Body::kLength);

  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(read_all_ways(head + "x\r\n").is_error);
  CHECK(read_all_ways(head + "\r\n").is_error);
  CHECK(read_all_ways(head + "2\r\nabc\r\n").is_error);
  CHECK(read_all_ways(head + "ffffffffffffffffff\r\n").is_error);
}

TEST_CASE("a body without a length ends with the connection", "[load][rfc9112]") {
  const Read result = read_all_ways("HTTP/1.1 200 OK\r\nServer: x\r\n\r\nHutu!");
  CHECK(result.responses.empty());
  CHECK(result.may_end);
}

TEST_CASE("statuses without a body end with their head", "[load][rfc9112]") {
  const Read result = read_all_ways(
      "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" +
      kPlain);
  REQUIRE(result.responses.size() == 3);
  CHECK_FALSE(result.responses[0].closes);
  CHECK(result.responses[1].length == 0);
}

TEST_CASE("interim responses only announce", "[load][rfc9110]") {
  const Read result = read_all_ways(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n" + kPlain);
  REQUIRE(result.responses.size() == 1);
  CHECK(result.responses[0].status == 200);
}

TEST_CASE("who closes is said by the field or the version", "[load][rfc9112]") {
  const auto closes = [](const std::string& version, const std::string& field) {
    const Read result =
        read_all_ways("HTTP/" + version + " 200 OK\r\n" + field + "Content-Length: 0\r\n\r\n");
    REQUIRE(result.responses.size() == 1);
    return result.responses[0].closes;
  };
  CHECK_FALSE(closes("1.1", ""));
  CHECK(closes("1.1", "Connection: close\r\n"));
  CHECK(closes("1.1", "cOnnection: upgrade , CLOSE\r\n"));
  CHECK_FALSE(closes("1.1", "Connection: keep-alive\r\n"));
  CHECK(closes("1.0", ""));
  CHECK_FALSE(closes("1.0", "Connection: Keep-Alive\r\n"));
}

TEST_CASE("the memory of heads does not take one head for another", "[load]") {
  HeadMemory memory;
  for (int turn = 0; turn < 3; ++turn) {
    CHECK(read(kPlain, kPlain.size(), memory).responses[0].length == 5);
    std::string other = kPlain;
    other.replace(other.find("gth: 5"), 6, "gth: 4");
    const Read result = read(other.substr(0, other.size() - 1), other.size(), memory);
    REQUIRE(result.responses.size() == 1);
    CHECK(result.responses[0].length == 4);
  }
}

TEST_CASE("long fields do not matter, long heads do", "[load][rfc9112]") {
  const std::string field = "X-Long: " + std::string(5000, 'a') + "\r\n";
  CHECK(
      read_all_ways("HTTP/1.1 200 OK\r\n" + field + "Content-Length: 0\r\n\r\n").responses.size() ==
      1);
  std::string endless = "HTTP/1.1 200 OK\r\n";
  while (endless.size() <= ResponseReader::kMaxHead) endless += field;
  CHECK(read_all_ways(endless + "\r\n").is_error);
}

TEST_CASE("what is no response is an error", "[load][rfc9112]") {
  for (const char* const text :
       {"\r\n", "Hutu\r\n", "HTTP/2 200\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 099 No\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\n: x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"}) {
    INFO(text);
    CHECK(read_all_ways(text).is_error);
  }
}

}  // namespace
}  // namespace load
