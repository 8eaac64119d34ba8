#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "http_rig.hpp"

namespace httpd {
namespace {

using sluice::Duration;

const std::string kGet64 = "GET /bytes/64 HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n";

std::string get(std::size_t count, const std::string& fields = "") {
  return "GET /bytes/" + std::to_string(count) + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}

std::string pattern_text(std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t i = 0; i < count; ++i)
    text[i] = static_cast<char>(pattern()[i % kPatternLength]);
  return text;
}

TEST_CASE("a request in any two pieces has the same answer", "[httpd]") {
  HttpRig rig;
  Client& whole = rig.connect();
  rig.send(whole, kGet64 + kGet64);
  REQUIRE(whole.received.size() > 2 * 64);
  for (std::size_t cut = 1; cut < 2 * kGet64.size(); ++cut) {
    Client& client = rig.connect();
    rig.send(client, (kGet64 + kGet64).substr(0, cut));
    rig.send(client, (kGet64 + kGet64).substr(cut));
    CHECK(client.received == whole.received);
    CHECK_FALSE(client.is_ended);
    static_cast<void>(client.stream.abort());
  }
}

TEST_CASE("requests in one segment are answered in order by one send", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  std::string requests;
  for (std::size_t i = 0; i < 30; ++i) requests += get(i);
  const std::uint64_t before = rig.stats().batches.get();
  rig.send(client, requests);
  CHECK(rig.stats().batches.get() == before + 1);
  for (std::size_t i = 0; i < 30; ++i) {
    const Reply reply = take_reply(client.received);
    REQUIRE(reply.status == 200);
    CHECK(reply.body == pattern_text(i));
  }
  CHECK(client.received.empty());
  CHECK(rig.stats().keep_alive.get() == 29);
}

TEST_CASE("a client that does not read holds up its own requests, and loses none", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  static_cast<void>(client.stream.pause_reading());
  // More than windows and buffers hold: answers wait within a head, within a body, whole.
  std::vector<std::size_t> sizes;
  std::string requests;
  for (std::size_t i = 0; i < 900; ++i) {
    sizes.push_back(i % 50 == 0 ? 100'000 : 10 * i);
    requests += get(sizes.back());
  }
  std::size_t sent = 0;
  for (int turn = 0; turn < 200 && sent < requests.size(); ++turn) {
    const auto taken = client.stream.send(std::string_view(requests).substr(sent, 3000));
    REQUIRE(taken.has_value());
    sent += *taken;
    rig.run();
  }
  CHECK(client.received.empty());
  CHECK(rig.stats().short_writes.get() > 0);
  CHECK(rig.stats().requests() < 900);
  static_cast<void>(client.stream.resume_reading());
  rig.pass(Duration::from_ms(50));
  rig.send(client, std::string_view(requests).substr(sent));
  rig.pass(Duration::from_s(2));
  for (const std::size_t size : sizes) {
    const Reply reply = take_reply(client.received);
    REQUIRE(reply.status == 200);
    REQUIRE(reply.body == pattern_text(size));
  }
  CHECK(client.received.empty());
  CHECK(rig.stats().requests() == 900);
}

TEST_CASE("the server closes first when that was asked, and answers nothing after", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  rig.send(client, get(1) + get(2, "Connection: close\r\n") + get(3));
  CHECK(take_reply(client.received).body.size() == 1);
  const Reply last = take_reply(client.received);
  CHECK(last.body.size() == 2);
  CHECK(last.has("\r\nConnection: close\r\n"));
  CHECK(client.received.empty());
  CHECK(client.is_ended);
  static_cast<void>(client.stream.close());
  rig.pass(Duration::from_ms(10));
  CHECK(client.is_closed);
  CHECK(client.reason == sluice::CloseReason::kNormal);
  CHECK(rig.stats().closed.get() == 1);
}

TEST_CASE("HTTP/1.0 ends after one answer unless it asked to stay", "[httpd][rfc9112]") {
  HttpRig rig;
  Client& plain = rig.connect();
  rig.send(plain, "GET /bytes/5 HTTP/1.0\r\n\r\n");
  CHECK(take_reply(plain.received).has("\r\nConnection: close\r\n"));
  CHECK(plain.is_ended);
  Client& stays = rig.connect();
  rig.send(stays, "GET /bytes/5 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  CHECK(take_reply(stays.received).has("\r\nConnection: keep-alive\r\n"));
  CHECK_FALSE(stays.is_ended);
}

TEST_CASE("a malformed request is answered, and the connection ends", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  rig.send(client, get(1) + "GET / HTTP/1.1\r\nHost : x\r\n\r\n" + get(2));
  CHECK(take_reply(client.received).status == 200);
  const Reply reply = take_reply(client.received);
  CHECK(reply.status == 400);
  CHECK(reply.has("\r\nConnection: close\r\n"));
  CHECK(client.received.empty());
  CHECK(client.is_ended);
}

TEST_CASE("HEAD has the head of GET and no body", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  rig.send(client, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  const Reply head = take_reply(client.received, true);
  CHECK(client.received.empty());
  rig.send(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const Reply full = take_reply(client.received);
  CHECK(head.head == full.head);
  CHECK_FALSE(full.body.empty());
  CHECK(full.has("\r\nContent-Type: text/html; charset=utf-8\r\n"));
  CHECK(full.has("\r\nDate: Thu, 01 Jan 1970 "));
}

TEST_CASE("a body is counted and hashed, by length and in chunks, in any pieces", "[httpd]") {
  HttpRig rig;
  const std::string digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
  const std::string by_length =
      "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world";
  const std::string chunked =
      "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
      "world\r\n0\r\n\r\n";
  for (const std::string& request : {by_length, chunked}) {
    for (std::size_t piece : {std::size_t{1}, std::size_t{13}, request.size() + kGet64.size()}) {
      Client& client = rig.connect();
      const std::string text = request + kGet64;
      for (std::size_t at = 0; at < text.size(); at += piece)
        rig.send(client, std::string_view(text).substr(at, piece));
      CHECK(take_reply(client.received).body == "11 " + digest + "\n");
      CHECK(take_reply(client.received).body == pattern_text(64));
    }
  }
}

TEST_CASE("100 Continue comes when it is asked for and the body has not begun", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  const std::string head =
      "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  rig.send(client, head);
  CHECK(client.received == "HTTP/1.1 100 Continue\r\n\r\n");
  client.received.clear();
  rig.send(client, "abc" + head + "abc");
  CHECK(take_reply(client.received).status == 200);
  CHECK(take_reply(client.received).status == 200);
  CHECK(client.received.empty());
}

TEST_CASE("bodies that are malformed or too long end the connection", "[httpd]") {
  Options options;
  options.site.max_body = 10;
  HttpRig rig(options);
  const std::string head = "PUT /sink HTTP/1.1\r\nHost: x\r\n";
  CHECK(rig.ask(head + "Content-Length: 11\r\n\r\n").status == 413);
  CHECK(rig.ask(head + "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n").status == 413);
  CHECK(rig.ask(head + "Transfer-Encoding: chunked\r\n\r\nx\r\n").status == 400);
  Client& client = rig.connect();
  rig.send(client, head + "Content-Length: 5\r\n\r\nabc");
  static_cast<void>(client.stream.shutdown());
  rig.run();
  CHECK(take_reply(client.received).status == 400);
  CHECK(client.is_ended);
}

TEST_CASE("a slow head and a slow body get 408, an idle client a FIN", "[httpd]") {
  Options options;
  options.patience = Duration::from_ms(100);
  HttpRig rig(options);
  Client& idle = rig.connect();
  Client& busy = rig.connect();
  Client& head = rig.connect();
  Client& body = rig.connect();
  rig.send(head, "GET / HT");
  rig.send(body, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
  rig.pass(Duration::from_ms(60));
  rig.send(busy, kGet64);
  rig.send(head, "TP/1.1\r\n");  // progress, but no head yet: it has to be there in time
  CHECK(rig.stats().timed_out.get() == 0);
  rig.pass(Duration::from_ms(60));
  CHECK(idle.is_ended);
  CHECK(idle.received.empty());
  CHECK(take_reply(head.received).status == 408);
  CHECK(head.is_ended);
  CHECK(take_reply(body.received).status == 408);
  CHECK_FALSE(busy.is_ended);
  rig.pass(Duration::from_ms(60));
  CHECK(busy.is_ended);
  CHECK(rig.stats().timed_out.get() == 4);
}

TEST_CASE("when blocks for heads in pieces are out the oldest gives way", "[httpd]") {
  HttpRig rig;
  Client& oldest = rig.connect();
  rig.send(oldest, "GET");
  Client* newest = nullptr;
  for (int i = 0; i < 1024; ++i) {
    newest = &rig.connect();
    rig.send(*newest, kGet64.substr(0, 10));
  }
  CHECK(take_reply(oldest.received).status == 408);
  CHECK(rig.stats().evicted_heads.get() == 1);
  rig.send(*newest, kGet64.substr(10));
  CHECK(take_reply(newest->received).status == 200);
}

TEST_CASE("the status page counts by status, and is JSON when asked", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  std::string requests;
  for (int i = 0; i < 17; ++i) requests += kGet64;
  rig.send(client, requests + "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  for (int i = 0; i < 18; ++i) take_reply(client.received);
  rig.send(client, "GET /status?json HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto page = nlohmann::json::parse(take_reply(client.received).body);
  const auto& worker = page.at("workers").at(0);
  CHECK(worker.at("open") == 1);
  CHECK(worker.at("requests") == 18);
  CHECK(worker.at("status").at("200") == 17);
  CHECK(worker.at("status").at("404") == 1);
  CHECK(worker.at("latency_us").at("samples") == 1);
  rig.send(client, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string text = take_reply(client.received).body;
  CHECK(text.find("worker 0\n  open 1\n") == 0);
  CHECK(text.find("status_404 1\n") != std::string::npos);
}

TEST_CASE("the time that an answer waits for its client to read is latency", "[httpd]") {
  HttpRig rig;
  Client& client = rig.connect();
  static_cast<void>(client.stream.pause_reading());
  for (int i = 0; i < 17; ++i) rig.send(client, get(1'000'000));
  rig.pass(Duration::from_ms(300));
  static_cast<void>(client.stream.resume_reading());
  rig.pass(Duration::from_s(3));
  CHECK(rig.stats().requests() == 17);
  CHECK(rig.stats().latency.percentile(1.0) >= Duration::from_ms(300));
}

}  // namespace
}  // namespace httpd
