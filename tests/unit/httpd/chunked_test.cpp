#include "chunked.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace httpd {
namespace {

struct Decoded {
  ChunkedDecoder::Status status = ChunkedDecoder::Status::kMore;
  std::string content;
  std::size_t taken = 0;
  std::uint16_t error = 0;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view text, std::size_t piece) {
  ChunkedDecoder decoder;
  Decoded result;
  while (result.taken < text.size() && result.status == ChunkedDecoder::Status::kMore) {
    const auto step = decoder.feed(text.substr(result.taken, piece));
    REQUIRE(step.taken > 0);
    result.taken += step.taken;
    result.content += step.content;
    result.status = step.status;
  }
  result.error = decoder.error();
  return result;
}

Decoded decode(std::string_view text) {
  const Decoded whole = decode(text, text.size());
  for (std::size_t piece = 1; piece < text.size() && piece < 20; ++piece)
    CHECK(decode(text, piece) == whole);
  return whole;
}

TEST_CASE("chunks make one body, and end where the next request begins", "[httpd][rfc9112]") {
  const Decoded got = decode("5\r\nhello\r\n1;a=\"b\"\r\n \r\n0005 \r\nworld\r\n0\r\n\r\nGET");
  CHECK(got.status == ChunkedDecoder::Status::kDone);
  CHECK(got.content == "hello world");
  CHECK(got.taken == 41);
  CHECK(decode("A\r\n0123456789\r\n0\r\nFoo: bar\r\nBar: x\r\n\r\n").content == "0123456789");
  CHECK(decode("0\r\n\r\n").status == ChunkedDecoder::Status::kDone);
  CHECK(decode("0\r\n\r").status == ChunkedDecoder::Status::kMore);
}

TEST_CASE("malformed chunks are refused", "[httpd][rfc9112]") {
  for (const char* const text :
       {"\r\n", "x\r\n", "-1\r\n", "0x1\r\n", ";a\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\n",
        "5\r\nhello\rX", "5\rX", "1 \n", "1;a\x01\r\n", "1000000000000000\r\n", "0\r\n\n",
        "0\r\nFoo: \n", "0\r\n\rX", "0\r\n folded\r\n", "0\r\nFoo: a\rX"}) {
    INFO(text);
    CHECK(decode(text).error == 400);
  }
}

TEST_CASE("extensions and trailers are bounded", "[httpd][rfc9112]") {
  const std::string extension(ChunkedDecoder::kMaxExtension - 1, 'a');
  CHECK(decode("1;" + extension + "\r\n").error == 0);
  CHECK(decode("1;" + extension + "a\r\n").error == 400);
  std::string text = "0\r\n";
  while (text.size() < ChunkedDecoder::kMaxTrailer + 600) text += "Field: value\r\n";
  CHECK(decode(text).error == 0);
  while (text.size() < ChunkedDecoder::kMaxTrailer + 2000) text += "Field: value\r\n";
  CHECK(decode(text).error == 431);
}

}  // namespace
}  // namespace httpd
