// A server that another thread of its own changes while it runs, on the public API alone: words
// come in by --orders FIFO, a line each, and what became of them goes out by standard output.
//
//   listen PORT    unlisten PORT    connect ADDRESS PORT    post NUMBER

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "sluice/sluice.hpp"

namespace {

class Echo final : public sluice::StreamHandler {
  void on_data(sluice::Stream stream, sluice::RxData& data) override {
    static_cast<void>(stream.send(data));
  }
};

/// Says one line to whom it reaches, and when it is over.
class Caller final : public sluice::StreamHandler {
  void on_open(sluice::Stream stream) override {
    static_cast<void>(stream.send("Hutu\n"));
    static_cast<void>(stream.close());
  }
  void on_closed(sluice::Stream, sluice::CloseReason reason) override {
    std::printf("closed: %s\n", std::string(to_string(reason)).c_str());
    std::fflush(stdout);
  }
};

struct Number {
  static constexpr std::uint32_t kKind = 1;
  std::uint64_t value;
};

class Hearer final : public sluice::MessageHandler {
  void on_message(sluice::Worker worker, const sluice::Message& message) override {
    const auto number = message.as<Number>();
    if (!number) return;
    // On to the worker itself, as any worker could.
    if (message.from() == sluice::Message::kNoWorker && !worker.post(worker.index(), *number))
      std::printf("not posted\n");
    std::printf("worker %u heard %llu\n", worker.index(),
                static_cast<unsigned long long>(number->value));
    std::fflush(stdout);
  }
};

std::string name_of(const sluice::Result<void, sluice::Error>& result) {
  return result ? "done" : std::string(to_string(result.error()));
}

std::string obey(sluice::Runtime& runtime, Caller& caller, const std::string& line) {
  std::istringstream words(line);
  std::string verb, address;
  words >> verb;
  if (verb == "connect") words >> address;
  std::uint64_t number = 0;
  words >> number;
  const sluice::Port port{static_cast<std::uint16_t>(number)};
  if (verb == "post") return name_of(runtime.post(0, Number{number}));
  if (verb == "unlisten") return name_of(runtime.unlisten(port));
  if (verb == "connect") {
    const auto peer = sluice::parse_ip(address);
    return peer ? name_of(runtime.connect(0, {.remote = {*peer, port}}, &caller)) : "no address";
  }
  if (verb != "listen") return "no such order";
  try {
    runtime.listen<Echo>({.port = port});
    return "done";
  } catch (const sluice::SetupError& error) {
    return error.what();
  }
}

int serve(sluice::Runtime& runtime) {
  Caller caller;
  Hearer hearer;
  std::thread other;
  runtime.on_worker_start([&](sluice::Worker worker) {
    static_cast<void>(worker.set_message_handler(&hearer));
    if (worker.index() != 0) return;
    other = std::thread([&] {
      std::ifstream orders(runtime.option("orders"));
      for (std::string line; std::getline(orders, line);) {
        std::printf("%s: %s\n", line.c_str(), obey(runtime, caller, line).c_str());
        std::fflush(stdout);
      }
    });
  });
  const int code = runtime.run();
  if (other.joinable()) other.join();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  return sluice::run_program(argc, argv,
                             {.name = "sluice-test-changing",
                              .summary = "Obeys another thread while it serves",
                              .default_ports = {},
                              .options = {{"orders", "FIFO with an order on each line", ""}}},
                             serve);
}
