#include "content.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "http_date.hpp"
#include "latency.hpp"
#include "routes.hpp"

namespace httpd {
namespace {

/// A folder that is gone with the test.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sluice-httpd.XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Asked {
  Route route = Route::kAnswer;
  Answer answer;
  std::string body;
};

Asked ask(const Site& site, const std::string& head) {
  const std::string text = head + "\r\n";
  RequestParser parser;
  REQUIRE(parser.parse(text) == RequestParser::Status::kComplete);
  Asked asked;
  asked.route = route(parser.request(), site, asked.answer);
  asked.body.resize(asked.answer.body_octets());
  copy_body(asked.answer, 0, asked.body);
  return asked;
}

std::string get(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + fields;
}

TEST_CASE("/bytes/N takes a plain number up to 2^40", "[httpd]") {
  CHECK(bytes_target("/bytes/0") == 0u);
  CHECK(bytes_target("/bytes/1099511627776") == std::uint64_t{1} << 40);
  for (const char* wrong : {"/bytes/", "/bytes/1x", "/bytes/-1", "/bytes/1099511627777", "/byte/1"})
    CHECK_FALSE(bytes_target(wrong).has_value());
  CHECK(pattern()[300] == static_cast<std::byte>((197 * 300 + 1) & 0xff));
}

TEST_CASE("files are found by their decoded path, and no path leads out", "[httpd]") {
  const Folder folder;
  folder.write("a b.TXT", "spaces");
  folder.write("sub/index.html", "<p>index");
  std::filesystem::create_symlink("/etc/passwd", folder.path() / "link");
  const Content content(folder.path().string());
  const Site site{.content = &content};
  const Asked text = ask(site, get("/a%20b.TXT?query"));
  CHECK(text.answer.status == 200);
  CHECK(text.body == "spaces");
  CHECK(text.answer.fields.find("Content-Type: text/plain; charset=utf-8\r\n") == 0);
  CHECK(ask(site, get("/sub/")).body == "<p>index");
  CHECK(ask(site, get("http://x/sub/index.html")).body == "<p>index");
  CHECK(ask(site, get("http://x")).answer.status == 200);
  for (const char* const target :
       {"/link", "/sub", "/../etc/passwd", "/sub/../a%20b.TXT", "/%2e%2e/etc/passwd", "/sub%00/",
        "//etc/passwd", "/..%2f..%2fetc%2fpasswd", "/sub/index.html%00.txt"}) {
    INFO(target);
    CHECK(ask(site, get(target)).answer.status == 404);
  }
  for (const char* const target : {"/%", "/%2", "/%2x", "/%xx"})
    CHECK(ask(site, get(target)).answer.status == 400);
}

TEST_CASE("a client that has a file is told so", "[httpd][rfc9110]") {
  const Content content("");
  const Site site{.content = &content};
  const Resource& page = *content.find("/");
  const HttpDate date = format_date(page.last_modified);
  const std::string when(date.data(), date.size());
  const auto status = [&](const std::string& fields) {
    return ask(site, get("/", fields)).answer.status;
  };
  CHECK(status("If-None-Match: " + page.etag + "\r\n") == 304);
  CHECK(status("If-None-Match: \"x\", W/" + page.etag + "\r\n") == 304);
  CHECK(status("If-None-Match: *\r\n") == 304);
  CHECK(status("If-None-Match: \"x\"\r\nIf-Modified-Since: " + when + "\r\n") == 200);
  CHECK(status("If-Modified-Since: " + when + "\r\n") == 304);
  CHECK(status("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == 200);
  CHECK(status("If-Modified-Since: tomorrow\r\n") == 200);
  CHECK_FALSE(ask(site, get("/", "If-None-Match: *\r\n")).answer.has_body);
}

TEST_CASE("one range of octets is served, and one that cannot be is refused", "[httpd][rfc9110]") {
  const Folder folder;
  folder.write("f", "0123456789");
  const Content content(folder.path().string());
  const Site site{.content = &content};
  const auto part = [&](const std::string& range) {
    const Asked asked = ask(site, get("/f", "Range: " + range + "\r\n"));
    return std::to_string(asked.answer.status) +
           (asked.answer.status == 416 ? "" : " " + asked.body);
  };
  CHECK(part("bytes=2-4") == "206 234");
  CHECK(part("bytes=7-") == "206 789");
  CHECK(part("Bytes=-3") == "206 789");
  CHECK(part("bytes=-30") == "206 0123456789");
  CHECK(part("bytes=9-99") == "206 9");
  CHECK(part("bytes=10-") == "416");
  CHECK(part("bytes=-0") == "416");
  for (const char* const whole : {"bytes=4-2", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2",
                                  "bytes=1", "bytes=99999999999999999999-"})
    CHECK(part(whole) == "200 0123456789");
  const std::string etag = content.find("/f")->etag;
  CHECK(ask(site, get("/f", "Range: bytes=1-1\r\nIf-Range: " + etag + "\r\n")).body == "1");
  CHECK(ask(site, get("/f", "Range: bytes=1-1\r\nIf-Range: \"x\"\r\n")).answer.status == 200);
  // The pattern of /bytes/N goes on where it repeats.
  const Asked far = ask(site, get("/bytes/200000", "Range: bytes=65520-65522\r\n"));
  REQUIRE(far.body.size() == 3);
  CHECK(static_cast<std::byte>(far.body[0]) == pattern()[65520]);
  CHECK(static_cast<std::byte>(far.body[1]) == pattern()[0]);
}

TEST_CASE("methods go only with what they are for", "[httpd][rfc9110]") {
  const Content content("");
  const Site site{.content = &content, .max_body = 100};
  const auto status = [&](const std::string& line, const std::string& fields = "") {
    return ask(site, line + " HTTP/1.1\r\nHost: x\r\n" + fields).answer.status;
  };
  CHECK(status("POST /") == 405);
  CHECK(status("DELETE /") == 405);
  CHECK(status("GET /sink") == 405);
  CHECK(status("POST /none") == 404);
  CHECK(status("BREW /") == 501);
  CHECK(status("OPTIONS *") == 204);
  CHECK(status("PUT /sink", "Content-Length: 101\r\n") == 413);
  CHECK(ask(site, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n").route ==
        Route::kUpload);
  CHECK(ask(site, get("/status?json")).route == Route::kStatusJson);
  CHECK(ask(site, "POST / HTTP/1.1\r\nHost: x\r\n").answer.fields.find("Allow: GET, HEAD") == 0);
  // A body that nobody takes ends the connection.
  CHECK(ask(site, get("/")).answer.keep_alive);
  CHECK_FALSE(ask(site, get("/", "Content-Length: 1\r\n")).answer.keep_alive);
  CHECK_FALSE(ask(site, get("/", "Transfer-Encoding: chunked\r\n")).answer.keep_alive);
}

TEST_CASE("dates are read in the three forms and written in one", "[httpd][rfc9110]") {
  constexpr std::int64_t kWhen = 784111777;
  const HttpDate date = format_date(kWhen);
  CHECK(std::string(date.data(), date.size()) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(parse_date("Sun, 06 Nov 1994 08:49:37 GMT") == kWhen);
  CHECK(parse_date("Sunday, 06-Nov-94 08:49:37 GMT") == kWhen);
  CHECK(parse_date("Sun Nov  6 08:49:37 1994") == kWhen);
  for (const char* const wrong : {"", "x", "Sun, 06 Nov 1994 08:49:37", "784111777",
                                  "Sun, 06 Nov 1994 08:49:37 GMT and a long, long, long tail"})
    CHECK_FALSE(parse_date(wrong).has_value());
}

TEST_CASE("a percentile is never below, and at most an eighth above", "[httpd]") {
  for (std::uint64_t ns : {0ull, 1ull, 7ull, 8ull, 9ull, 255ull, 256ull, 1000ull, 123456789ull,
                           0x7fffffffffffffffull}) {
    const std::uint64_t edge = LatencyHistogram::upper_edge(LatencyHistogram::bucket_of(ns));
    CHECK(edge >= ns);
    CHECK(edge - ns <= ns / 8);
  }
  LatencyHistogram histogram;
  CHECK(histogram.percentile(0.5) == sluice::Duration::zero());
  for (int i = 1; i <= 1000; ++i) histogram.record(sluice::Duration::from_us(i));
  CHECK(histogram.count() == 1000);
  CHECK(histogram.percentile(0.5).us() >= 500);
  CHECK(histogram.percentile(0.5).us() <= 563);
  CHECK(histogram.percentile(1.0).us() >= 1000);
}

}  // namespace
}  // namespace httpd
