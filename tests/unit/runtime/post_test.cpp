#include "runtime/post.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>

#include "tests/unit/runtime/workers_fixture.hpp"

namespace sluice::runtime {
namespace {

using telemetry::Counter;
using testing::Workers;

struct Number {
  static constexpr std::uint32_t kKind = 1;
  std::uint64_t value;
};
struct Name {
  static constexpr std::uint32_t kKind = 2;
  char text[56];
};

/// Notes what it hears, and does what the test says.
struct Hearer final : MessageHandler {
  std::vector<std::uint64_t> numbers;
  std::vector<unsigned> from, rooms;
  std::function<void(Worker)> then;

  void on_message(Worker worker, const Message& message) override {
    if (const auto number = message.as<Number>()) numbers.push_back(number->value);
    from.push_back(message.from());
    if (then) then(worker);
  }
  void on_post_room(Worker, unsigned to) override { rooms.push_back(to); }
};

}  // namespace

TEST_CASE("a message holds a value of its kind and size, and no other", "[runtime][post]") {
  const Message number(Number{7});
  CHECK(number.kind() == 1);
  REQUIRE(number.as<Number>());
  CHECK(number.as<Number>()->value == 7);
  CHECK_FALSE(number.as<Name>());
  CHECK_FALSE(Message().as<Number>());
  CHECK(std::string_view(Message(Name{"Hutu"}).as<Name>()->text) == "Hutu");
  CHECK(number.from() == Message::kNoWorker);
}

TEST_CASE("messages come after the burst, in the order of their sender, with its number",
          "[runtime][post]") {
  Workers workers;
  Hearer hearer;
  REQUIRE(workers.worker(0).set_message_handler(&hearer));
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(workers.worker(1).post(0, Number{i}));
  REQUIRE(workers.post.post_from_outside(0, Message(Number{9})));
  CHECK(hearer.numbers.empty());
  CHECK(workers.turn(0));
  CHECK(hearer.numbers == std::vector<std::uint64_t>{0, 1, 2, 9});
  CHECK(hearer.from == std::vector<unsigned>{1, 1, 1, Message::kNoWorker});
  CHECK_FALSE(workers.turn(0));
  CHECK(workers.count(Counter::kMessagesPosted, 1) == 3);
  CHECK(workers.count(Counter::kMessagesDelivered, 0) == 4);
}

TEST_CASE("what a handler posts to its own worker joins the next round", "[runtime][post]") {
  Workers workers;
  Hearer hearer;
  hearer.then = [&](Worker worker) {
    if (hearer.numbers.back() < 3) REQUIRE(worker.post(0, Number{hearer.numbers.back() + 1}));
  };
  REQUIRE(workers.worker(0).set_message_handler(&hearer));
  REQUIRE(workers.worker(0).post(0, Number{1}));
  for (std::size_t round = 1; round <= 3; ++round) {
    CHECK(workers.turn(0));  // so that no sleep comes between
    CHECK(hearer.numbers.size() == round);
  }
  CHECK_FALSE(workers.turn(0));
}

TEST_CASE("a full mailbox is told to the sender, and half of it free once more",
          "[runtime][post]") {
  Workers workers;
  Hearer sender, receiver;
  REQUIRE(workers.worker(0).set_message_handler(&sender));
  std::uint64_t posted = 0;
  while (workers.worker(0).post(1, Number{posted})) ++posted;
  CHECK(posted == Post::kCapacity);
  CHECK(workers.worker(0).post(1, Number{0}).error() == Error::kWouldBlock);
  CHECK(workers.count(Counter::kMessagesRefused, 0) == 2);
  CHECK(workers.worker(0).post(0, Number{0}));  // each pair has its own
  CHECK(workers.worker(1).post(1, Number{1000}));
  workers.turn(0);
  workers.turn(1);  // without a handler they wait
  CHECK(workers.count(Counter::kMessagesDelivered, 1) == 0);
  CHECK(sender.rooms.empty());

  REQUIRE(workers.worker(1).set_message_handler(&receiver));
  CHECK(workers.turn(1));
  CHECK(receiver.numbers.size() == PostBox::kPerRound + 1);  // a round stays short
  workers.turn(0);
  CHECK(sender.rooms.empty());
  CHECK(workers.turn(1));
  CHECK(workers.turn(0));
  CHECK(sender.rooms == std::vector<unsigned>{1});
  CHECK_FALSE(workers.turn(0));  // told once
  while (workers.turn(1)) {
  }
  REQUIRE(receiver.numbers.size() == posted + 1);
  std::erase(receiver.numbers, 1000);
  for (std::uint64_t i = 0; i < posted; ++i) CHECK(receiver.numbers[i] == i);
}

TEST_CASE("a handler may take itself away, and what is left waits for the next",
          "[runtime][post]") {
  Workers workers;
  Hearer first, second;
  first.then = [](Worker worker) { REQUIRE(worker.set_message_handler(nullptr)); };
  REQUIRE(workers.worker(0).set_message_handler(&first));
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(workers.worker(1).post(0, Number{i}));
  CHECK(workers.turn(0));
  CHECK_FALSE(workers.turn(0));
  REQUIRE(workers.worker(0).set_message_handler(&second));
  CHECK(workers.turn(0));
  CHECK(first.numbers == std::vector<std::uint64_t>{0});
  CHECK(second.numbers == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("nothing is posted to a worker that has ended, to none, or without a runtime",
          "[runtime][post]") {
  Workers workers;
  Hearer sender;
  REQUIRE(workers.worker(0).set_message_handler(&sender));
  while (workers.worker(0).post(1, Number{0})) {
  }
  workers.boxes[1]->close();
  CHECK(workers.worker(0).post(1, Number{0}).error() == Error::kDraining);
  CHECK(workers.post.post_from_outside(1, Message(Number{0})).error() == Error::kDraining);
  workers.turn(0);
  CHECK(sender.rooms == std::vector<unsigned>{1});  // who waits for room is to learn of it
  CHECK(workers.worker(0).post(2, Number{0}).error() == Error::kInvalidArgument);
  CHECK(workers.post.post_from_outside(2, Message(Number{0})).error() == Error::kInvalidArgument);
  CHECK(Worker().post(0, Number{0}).error() == Error::kStaleHandle);
  CHECK(Worker().set_message_handler(nullptr).error() == Error::kStaleHandle);
  workers.stacks[0]->set_post_office(nullptr);
  CHECK(workers.worker(0).post(1, Number{0}).error() == Error::kInvalidArgument);
}

namespace {

/// Sends numbers to the other worker as fast as it takes them, and checks what comes from there.
struct Talker final : MessageHandler {
  static constexpr std::uint64_t kCount = 5'000;
  std::uint64_t sent = 0, heard = 0, heard_outside = 0, disorder = 0;
  std::atomic<bool> is_done = false;

  void talk(Worker worker) {
    while (sent < kCount && worker.post(1 - worker.index(), Number{sent})) ++sent;
    is_done.store(sent == kCount && heard == kCount && heard_outside == kCount,
                  std::memory_order_release);
  }
  void on_message(Worker worker, const Message& message) override {
    std::uint64_t& next = message.from() == Message::kNoWorker ? heard_outside : heard;
    const auto number = message.as<Number>();
    if (!number || number->value != next) ++disorder;
    ++next;
    talk(worker);
  }
  void on_post_room(Worker worker, unsigned) override { talk(worker); }
};

}  // namespace

TEST_CASE("two workers and another thread talk at full rings, and nothing is lost or overtaken",
          "[runtime][post][threads]") {
  Workers workers;
  Talker talkers[Workers::kCount];
  StopLevel stop{0};
  std::vector<std::unique_ptr<WorkerLoop>> loops;
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < Workers::kCount; ++worker) {
    REQUIRE(workers.worker(worker).set_message_handler(&talkers[worker]));
    loops.push_back(workers.make_loop(worker));
  }
  for (unsigned worker = 0; worker < Workers::kCount; ++worker)
    threads.emplace_back([&, worker] {
      talkers[worker].talk(workers.worker(worker));
      loops[worker]->run(stop);
    });
  std::uint64_t sent[Workers::kCount] = {};
  while (!talkers[0].is_done.load(std::memory_order_acquire) ||
         !talkers[1].is_done.load(std::memory_order_acquire)) {
    for (unsigned to = 0; to < Workers::kCount; ++to)
      while (sent[to] < Talker::kCount &&
             workers.post.post_from_outside(to, Message(Number{sent[to]})))
        ++sent[to];
    std::this_thread::yield();
  }
  stop.fetch_add(1, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  for (const Talker& talker : talkers) CHECK(talker.disorder == 0);
  CHECK(workers.post.post_from_outside(0, Message(Number{0})).error() == Error::kDraining);
  CHECK(workers.count(Counter::kMessagesPosted, 0) == Talker::kCount);
}

}  // namespace sluice::runtime
