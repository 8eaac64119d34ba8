#include "runtime/orders.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/network_commands.hpp"
#include "runtime/service_orders.hpp"
#include "tests/unit/runtime/workers_fixture.hpp"

namespace sluice::runtime {
namespace {

using Catch::Matchers::Contains;
using testing::Workers;
using Fates = std::vector<OrderFate>;

/// Counts, and does what the test says.
struct Marks final : Order {
  int done[Workers::kCount] = {}, undone[Workers::kCount] = {};
  bool refuses[Workers::kCount] = {};
  bool is_strict = true;
  std::function<void(unsigned)> during;

  bool carry_out(const OrderSite& site) override {
    if (during) during(site.worker);
    if (refuses[site.worker]) return false;
    ++done[site.worker];
    return true;
  }
  void undo(const OrderSite& site) override { ++undone[site.worker]; }
  bool is_all_or_nothing() const override { return is_strict; }
};

bool is_listening(Workers& workers, unsigned worker, Port port) {
  return workers.stacks[worker]->impl().engine.context().listeners.is_listening(port);
}

class EchoFactory final : public HandlerFactory {
 public:
  std::size_t object_size() const override { return sizeof(StreamHandler); }
  std::size_t object_alignment() const override { return alignof(StreamHandler); }
  StreamHandler* construct(void* memory) override { return ::new (memory) StreamHandler; }
};
std::unique_ptr<HandlerFactory> make_factory() {
  return std::make_unique<EchoFactory>();
}

std::shared_ptr<ListenOrder> listen_order(std::uint16_t port) {
  return std::make_shared<ListenOrder>(ListenOptions{.port = Port{port}}, make_factory,
                                       Workers::kCount, 64u);
}

}  // namespace

TEST_CASE("an order is carried out once by each worker, on its turn", "[runtime][orders]") {
  Workers workers;
  const auto order = std::make_shared<Marks>();
  CHECK(workers.orders.give(order) == Fates(2, OrderFate::kDone));
  CHECK((order->done[0] == 1 && order->done[1] == 1));
  workers.round();
  CHECK((order->done[0] == 1 && order->undone[0] == 0));
  CHECK(workers.orders.give_to(1, order) == OrderFate::kDone);
  CHECK((order->done[0] == 1 && order->done[1] == 2));
  CHECK(explain(Fates(2, OrderFate::kDone)).empty());
}

TEST_CASE("what one worker refuses is taken back by the others", "[runtime][orders]") {
  Workers workers;
  const auto order = std::make_shared<Marks>();
  order->refuses[1] = true;
  const Fates fates = workers.orders.give(order);
  CHECK(fates == Fates{OrderFate::kUndone, OrderFate::kRefused});
  CHECK((order->done[0] == 1 && order->undone[0] == 1 && order->undone[1] == 0));
  CHECK(explain(fates) == "worker 1 refused: nothing has changed");
}

TEST_CASE("a worker that hangs never carries out what was given up, and is heard again later",
          "[runtime][orders]") {
  Workers workers;
  workers.hangs[1] = true;
  const auto order = std::make_shared<Marks>();
  const Fates fates = workers.orders.give(order);
  CHECK(fates == Fates{OrderFate::kUndone, OrderFate::kSilent});
  CHECK(explain(fates) ==
        "worker 1 did not answer in time and will not do it: nothing has changed");
  CHECK((order->done[0] == 1 && order->undone[0] == 1));
  workers.hangs[1] = false;
  workers.round();
  CHECK((order->done[1] == 0 && order->undone[1] == 0));
  CHECK(workers.orders.give(order) == Fates(2, OrderFate::kDone));
}

TEST_CASE("a worker that is at it when time is up takes it back by itself",
          "[runtime][orders][threads]") {
  // The wait ends while worker 1, on its thread, is in the middle of it.
  Workers* at = nullptr;
  bool is_over = false;
  std::function<bool(unsigned)> wait;
  Workers workers([&](unsigned tries) { return wait(tries); });
  at = &workers;
  const auto order = std::make_shared<Marks>();
  const auto other = std::make_shared<Marks>();
  Fates fates;
  std::thread late;
  std::atomic<bool> is_in = false, may_go = false;
  order->during = [&](unsigned worker) {
    if (worker != 1) return;
    is_in = true;
    while (!may_go) std::this_thread::yield();
  };
  wait = [&](unsigned) {
    at->turn(0);
    if (!late.joinable()) late = std::thread([&] { at->turn(1); });
    while (!is_in) std::this_thread::yield();
    return !std::exchange(is_over, true);
  };
  fates = workers.orders.give(order);
  CHECK(fates[1] == OrderFate::kSilent);
  // Busy with the old one: it is not asked again, and nobody else is.
  CHECK(workers.orders.give(other) == Fates{OrderFate::kUndone, OrderFate::kSilent});
  CHECK((other->done[0] == 0 && other->done[1] == 0));
  may_go = true;
  late.join();
  CHECK((order->done[1] == 1 && order->undone[1] == 1));
  wait = [&](unsigned tries) {
    at->round();
    return tries < 4;
  };
  workers.round();
  CHECK(order->done[0] == order->undone[0]);
  CHECK(workers.orders.give(other) == Fates(2, OrderFate::kDone));
}

TEST_CASE("who cannot be told to take it back does so when it runs again", "[runtime][orders]") {
  Workers workers;
  workers.hangs[1] = true;
  const auto order = std::make_shared<Marks>();
  order->during = [&](unsigned) { workers.hangs[0] = true; };  // after this very turn
  const Fates fates = workers.orders.give(order);
  CHECK(fates == Fates{OrderFate::kKept, OrderFate::kSilent});
  CHECK_THAT(explain(fates), Contains("worker 0 has it, and takes it back when it runs again") &&
                                 !Contains("nothing has changed"));
  CHECK((order->done[0] == 1 && order->undone[0] == 0));
  workers.hangs[0] = workers.hangs[1] = false;
  workers.round();
  CHECK(order->undone[0] == 1);
  order->during = {};
  CHECK(workers.orders.give(order) == Fates(2, OrderFate::kDone));
}

TEST_CASE("an order that cannot be taken back waits for who is late", "[runtime][orders]") {
  Workers workers;
  workers.hangs[1] = true;
  const auto order = std::make_shared<Marks>();
  order->is_strict = false;
  CHECK(workers.orders.give(order) == Fates{OrderFate::kDone, OrderFate::kPending});
  workers.hangs[1] = false;
  workers.round();
  CHECK((order->done[1] == 1 && order->undone[1] == 0));
  CHECK(workers.orders.give(order) == Fates(2, OrderFate::kDone));
}

TEST_CASE("a worker that has ended answers nothing, without a wait", "[runtime][orders]") {
  Workers workers;
  workers.orders.place(1).close();
  const auto order = std::make_shared<Marks>();
  CHECK(workers.orders.give(order) == Fates{OrderFate::kUndone, OrderFate::kSilent});
  CHECK(order->done[0] == 0);
  CHECK(workers.orders.give_to(0, order) == OrderFate::kDone);
}

TEST_CASE("all workers listen while they run, or none does", "[runtime][orders][listen]") {
  Workers workers;
  CHECK(is_done(workers.orders.give(listen_order(80))));
  for (unsigned worker = 0; worker < 2; ++worker) CHECK(is_listening(workers, worker, Port{80}));

  REQUIRE(workers.worker(1).listen({.port = Port{81}}, make_factory()));
  const auto order = listen_order(81);
  const Fates fates = workers.orders.give(order);
  CHECK(fates == Fates{OrderFate::kUndone, OrderFate::kRefused});
  CHECK(order->reason(fates) == " (address in use)");
  CHECK_FALSE(is_listening(workers, 0, Port{81}));

  workers.hangs[1] = true;
  CHECK_FALSE(is_done(workers.orders.give(listen_order(82))));
  workers.hangs[1] = false;
  workers.round();
  for (unsigned worker = 0; worker < 2; ++worker)
    CHECK_FALSE(is_listening(workers, worker, Port{82}));
}

TEST_CASE("unlisten closes every worker's listener of that very port and address",
          "[runtime][orders][listen]") {
  Workers workers;
  const IpAddr own = *parse_ip("10.0.0.2");
  REQUIRE(is_done(workers.orders.give(listen_order(80))));
  const auto unlisten = [&](std::uint16_t port, std::optional<IpAddr> address = {}) {
    return result_of_unlisten(
        workers.orders.give(std::make_shared<UnlistenOrder>(Port{port}, address)));
  };
  CHECK(unlisten(80, own).error() == Error::kInvalidArgument);
  CHECK(unlisten(81).error() == Error::kInvalidArgument);
  workers.hangs[1] = true;
  CHECK(unlisten(80).error() == Error::kNoAnswer);
  CHECK_FALSE(is_listening(workers, 0, Port{80}));
  workers.hangs[1] = false;
  workers.round();
  CHECK_FALSE(is_listening(workers, 1, Port{80}));
  REQUIRE(is_done(workers.orders.give(listen_order(80))));
  CHECK(unlisten(80));
}

TEST_CASE("another thread's connect() is one worker's connection, or an error and no connection",
          "[runtime][orders][connect]") {
  Workers workers;
  sluice::testing::Scripted handler;
  const auto connect = [&](unsigned worker, const ConnectOptions& options) {
    const auto order = std::make_shared<ConnectOrder>(options, &handler);
    return order->result(workers.orders.give_to(worker, order));
  };
  const Endpoint peer{*parse_ip("10.0.0.1"), Port{80}};
  const auto connections = [&](unsigned worker) {
    return workers.stacks[worker]->impl().engine.context().connections;
  };
  CHECK(connect(1, {.remote = peer, .congestion = std::string("cubic")}));
  CHECK((connections(0) == 0 && connections(1) == 1));
  CHECK(connect(0, {.remote = peer, .congestion = "reno"}).error() == Error::kInvalidArgument);
  CHECK(connect(0, {.remote = {*parse_ip("8.8.8.8"), Port{80}}}).error() == Error::kUnreachable);
  workers.hangs[0] = true;
  CHECK(connect(0, {.remote = peer}).error() == Error::kNoAnswer);
  workers.hangs[0] = false;
  workers.round();
  CHECK(connections(0) == 0);
}

namespace {

struct Operator {
  Workers workers;
  std::vector<std::string> lines;
  std::vector<ControlCommand> commands =
      network_commands({.orders = workers.orders,
                        .log = [this](const std::string& line) { lines.push_back(line); }});

  Json run(std::string_view name, const Json& request) {
    for (const ControlCommand& command : commands)
      if (command.name == name) return command.run(request);
    FAIL("no command " << name);
    return {};
  }
  std::string refusal(std::string_view name, const Json& request) {
    try {
      run(name, request);
    } catch (const CommandError& error) {
      return error.what();
    }
    FAIL("not refused");
    return {};
  }
  bool is_ours(unsigned worker, const char* address) {
    return workers.stacks[worker]->impl().network.addresses().is_ours(*parse_ip(address));
  }
  const link::NeighborRecord* neighbor(unsigned worker, const char* address) {
    return workers.stacks[worker]->impl().network.neighbors().find({0, *parse_ip(address)});
  }
};

}  // namespace

TEST_CASE("addr, route and neigh change every worker's tables", "[runtime][orders][control]") {
  Operator at;
  CHECK(at.run("addr.add", {{"address", "10.5.0.9/16"}}).dump() == R"({"workers":2,"changed":2})");
  CHECK(at.run("route.add", {{"destination", "default"}, {"gateway", "10.5.0.1"}}).at("changed") ==
        2);
  CHECK(at.run("route.add", {{"destination", "192.0.2.0/24"},
                             {"gateway", "10.5.0.1"},
                             {"interface", 0u},
                             {"congestion", "bbr"}})
            .at("changed") == 2);
  CHECK(
      at.run("neigh.add", {{"address", "10.5.0.1"}, {"mac", "02:00:00:00:00:99"}}).at("changed") ==
      2);
  for (unsigned worker = 0; worker < 2; ++worker) {
    CHECK(at.is_ours(worker, "10.5.0.9"));
    const auto path = at.workers.stacks[worker]->impl().network.path_to(*parse_ip("192.0.2.5"), {});
    REQUIRE(path);
    CHECK(path->congestion == tcp::Algorithm::kBbr);
    REQUIRE(at.neighbor(worker, "10.5.0.1") != nullptr);
    CHECK(at.neighbor(worker, "10.5.0.1")->state == link::NeighborState::kStatic);
  }
  // A neighbour that one worker alone knows is deleted where it is.
  stack::NetworkChange forget;
  forget.kind = stack::NetworkChange::Kind::kForgetNeighbor;
  forget.prefix = {*parse_ip("10.5.0.1"), 32};
  stack::ChangeUndo undo;
  REQUIRE(at.workers.stacks[0]->change(forget, undo, at.workers.now));
  CHECK(at.run("neigh.del", {{"address", "10.5.0.1"}}).at("changed") == 1);
  CHECK(at.neighbor(1, "10.5.0.1") == nullptr);
  CHECK(at.run("route.del", {{"destination", "192.0.2.0/24"}}).at("changed") == 2);
  CHECK(at.run("addr.del", {{"address", "10.5.0.9/16"}}).at("changed") == 2);
  CHECK_FALSE((at.is_ours(0, "10.5.0.9") || at.is_ours(1, "10.5.0.9")));
  CHECK(at.lines ==
        std::vector<std::string>{"added address 10.5.0.9/16", "added route 0.0.0.0/0 via 10.5.0.1",
                                 "added route 192.0.2.0/24 via 10.5.0.1",
                                 "added neighbour 10.5.0.1 at 02:00:00:00:00:99",
                                 "deleted neighbour 10.5.0.1", "deleted route 192.0.2.0/24",
                                 "deleted address 10.5.0.9/16"});
}

TEST_CASE("with a worker that hangs no table changes, and the answer names it",
          "[runtime][orders][control]") {
  Operator at;
  at.workers.hangs[0] = true;
  CHECK(at.refusal("addr.add", {{"address", "10.5.0.9/16"}}) ==
        "worker 0 did not answer in time and will not do it: nothing has changed");
  CHECK_FALSE(at.is_ours(1, "10.5.0.9"));
  at.workers.hangs[0] = false;
  at.workers.round();
  CHECK_FALSE(at.is_ours(0, "10.5.0.9"));
  at.workers.hangs[1] = true;
  CHECK_THAT(at.refusal("addr.del", {{"address", "10.0.0.2/24"}}), Contains("worker 1"));
  CHECK(at.is_ours(0, "10.0.0.2"));
  CHECK(at.lines.empty());
}

TEST_CASE("a change that cannot be is refused in words, once for all workers",
          "[runtime][orders][control]") {
  Operator at;
  CHECK(at.refusal("addr.add", {{"address", "10.0.0.2/16"}}) ==
        "address 10.0.0.2/16 is ours already");
  CHECK(at.refusal("addr.del", {{"address", "10.0.0.3/24"}}) == "no address 10.0.0.3/24 here");
  CHECK(at.refusal("addr.add", {{"address", "10.5.0.9/16"}, {"interface", 3u}}) ==
        "address 10.5.0.9/16: no such interface, or several and none was named");
  CHECK(at.refusal("route.add", {{"destination", "192.0.2.0/24"}, {"gateway", "172.16.0.1"}}) ==
        "route 192.0.2.0/24 via 172.16.0.1: the gateway is no other host in a subnet of ours");
  CHECK(at.refusal("route.add", {{"destination", "10.0.0.0/24"}}) ==
        "a route to 10.0.0.0/24 is there already: delete it first");
  CHECK(at.refusal("neigh.add", {{"address", "10.0.0.1"}, {"mac", "02:00:00:00:00:99"}}) ==
        "10.0.0.1 is pinned already: delete it first");
  CHECK(at.refusal("neigh.del", {{"address", "10.0.0.77"}}) == "no neighbour 10.0.0.77 here");
  CHECK_THAT(at.refusal("addr.add", Json::object()), Contains("\"address\" is missing: expected"));
  for (const char* const wrong : {"224.0.0.1/24", "240.0.0.1/24", "0.1.2.3/8", "10.5.0.255/24"})
    CHECK_THAT(at.refusal("addr.add", {{"address", wrong}}),
               Contains(wrong) && Contains("expected an address that a host may have"));
  CHECK_THAT(at.refusal("addr.add", {{"address", 7}}), Contains("is a text"));
  CHECK_THAT(at.refusal("route.add", {{"destination", "2001:db8::/32"}}), Contains("IPv4 prefix"));
  CHECK_THAT(at.refusal("route.add", {{"destination", "default"}, {"congestion", "reno"}}),
             Contains("newreno, cubic"));
  CHECK_THAT(at.refusal("route.add", {{"destination", "default"}, {"interface", -1}}),
             Contains("a number from 0"));
  CHECK_THAT(at.refusal("neigh.add", {{"address", "10.0.0.7"}, {"mac", "ff:ff:ff:ff:ff:ff"}}),
             Contains("a unicast MAC"));
}

TEST_CASE("orders reach workers that run, all of them or none, whoever gives them",
          "[runtime][orders][threads]") {
  Workers workers([](unsigned tries) {
    std::this_thread::yield();
    return tries < 100'000'000;
  });
  StopLevel stop{0};
  std::vector<std::unique_ptr<WorkerLoop>> loops;
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < Workers::kCount; ++worker)
    loops.push_back(workers.make_loop(worker));
  for (unsigned worker = 0; worker < Workers::kCount; ++worker)
    threads.emplace_back([&, worker] { loops[worker]->run(stop); });
  const auto commands = network_commands({.orders = workers.orders, .log = [](const auto&) {}});
  std::atomic<int> failures = 0;
  const auto give = [&](std::uint16_t port, const char* prefix) {
    for (int i = 0; i < 100; ++i) {
      if (!is_done(workers.orders.give(listen_order(port)))) ++failures;
      if (commands[0].run({{"address", prefix}}).at("changed") != 2) ++failures;
      if (commands[1].run({{"address", prefix}}).at("changed") != 2) ++failures;
      const auto order = std::make_shared<UnlistenOrder>(Port{port}, std::nullopt);
      if (!result_of_unlisten(workers.orders.give(order))) ++failures;
    }
  };
  std::thread first(give, std::uint16_t{80}, "10.5.0.9/16"),
      second(give, std::uint16_t{81}, "10.6.0.9/16");
  first.join();
  second.join();
  CHECK(failures == 0);
  stop.fetch_add(1, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  CHECK(workers.orders.give(std::make_shared<Marks>()) == Fates(2, OrderFate::kSilent));
  for (unsigned worker = 0; worker < 2; ++worker) {
    CHECK(workers.stacks[worker]->impl().network.addresses().addresses().size() == 1);
    CHECK_FALSE(is_listening(workers, worker, Port{80}));
  }
}

}  // namespace sluice::runtime
