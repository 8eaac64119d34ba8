#include "apps/load/options.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <string>

namespace load {
namespace {

using sluice::Duration;

using Flags = std::map<std::string, std::string>;

Options parse(const Flags& flags) {
  Flags all;
  for (const sluice::ProgramOption& option : program_options())
    all[option.name] = option.default_value;
  all["target"] = "10.0.0.2:80";
  for (const auto& [name, value] : flags) {
    REQUIRE(all.count(name) == 1);
    all[name] = value;
  }
  return parse_options([&](const std::string& name) -> const std::string& { return all.at(name); });
}

std::string error_of(const Flags& flags) {
  try {
    parse(flags);
  } catch (const sluice::SetupError& error) {
    CHECK(error.exit_code() == 2);
    return error.what();
  }
  return "nothing";
}

TEST_CASE("without flags: a closed loop over 64 connections, 10 s after one of warm-up",
          "[load][options]") {
  const Options options = parse({});
  CHECK(options.mode == Mode::kHttp);
  CHECK(options.path == "/bytes/64");
  CHECK(options.connections == 64);
  CHECK_FALSE(options.is_open_loop);
  CHECK(options.phases ==
        std::vector<Phase>{{Duration::from_s(1), 0, 0, true}, {Duration::from_s(10), 0, 0, false}});
  CHECK(options.summary() == "http to 10.0.0.2:80, GET /bytes/64, 64 connections, closed loop");
}

TEST_CASE("rates, ramps and steps make phases", "[load][options]") {
  const Options rate = parse({{"rate", "50k/s"}, {"warmup", "0"}, {"duration", "1.5s"}});
  CHECK(rate.is_open_loop);
  CHECK(rate.phases == std::vector<Phase>{{Duration::from_ms(1500), 50e3, 50e3}});
  const Options ramp = parse({{"ramp", "0:1.5M:2m"}, {"warmup", "500ms"}});
  CHECK(ramp.phases == std::vector<Phase>{{Duration::from_ms(500), 0, 0, true},
                                          {Duration::from_s(120), 0, 1.5e6}});
  const Options steps = parse({{"steps", "10k,20k"}, {"duration", "3s"}, {"warmup", "1s"}});
  CHECK(steps.phases == std::vector<Phase>{{Duration::from_s(1), 10e3, 10e3, true},
                                           {Duration::from_s(3), 10e3, 10e3},
                                           {Duration::from_s(3), 20e3, 20e3}});
  const Options timed = parse({{"steps", "100:5s,200:10s"}, {"warmup", "0"}});
  CHECK(timed.phases ==
        std::vector<Phase>{{Duration::from_s(5), 100, 100}, {Duration::from_s(10), 200, 200}});
}

TEST_CASE("each mode has requests of its own", "[load][options]") {
  const auto text = [](const Flags& flags) {
    const Message message = parse(flags).message();
    const auto octets = message.run(0, 1);
    return std::string(reinterpret_cast<const char*>(octets.data()), octets.size());
  };
  CHECK(text({{"path", "/a?b"}}) == "GET /a?b HTTP/1.1\r\nHost: 10.0.0.2:80\r\n\r\n");
  CHECK(text({{"mode", "http-close"}}) ==
        "GET /bytes/64 HTTP/1.1\r\nHost: 10.0.0.2:80\r\nConnection: close\r\n\r\n");
  CHECK(text({{"mode", "download"}, {"size", "10M"}}).starts_with("GET /bytes/10000000 HTTP"));
  CHECK(text({{"mode", "upload"}, {"size", "5"}}) ==
        "PUT /sink HTTP/1.1\r\nHost: 10.0.0.2:80\r\nContent-Length: 5\r\n\r\n");
  CHECK(parse({{"mode", "upload"}, {"size", "5"}}).message().size() ==
        text({{"mode", "upload"}, {"size", "5"}}).size() + 5);
  CHECK(text({{"mode", "echo"}, {"size", "3"}}).size() == 3);
  CHECK(parse({{"mode", "echo"}, {"size", "1M"}}).message().size() == 1'000'000);
  CHECK(parse({{"mode", "upload"}}).connections == 1);
  CHECK(parse({{"mode", "upload"}, {"connections", "3"}}).connections == 3);
}

TEST_CASE("a limit of errors is a number or a share", "[load][options]") {
  CHECK(parse({}).max_errors.holds(0, 100));
  CHECK_FALSE(parse({}).max_errors.holds(1, 100));
  CHECK(parse({{"max-errors", "10"}}).max_errors.holds(10, 11));
  CHECK_FALSE(parse({{"max-errors", "10"}}).max_errors.holds(11, 1'000'000));
  CHECK(parse({{"max-errors", "0.5%"}}).max_errors.holds(5, 1000));
  CHECK_FALSE(parse({{"max-errors", "0.5%"}}).max_errors.holds(6, 1000));
}

TEST_CASE("a wrong flag is one line that names it and the mend", "[load][options]") {
  const std::vector<std::pair<Flags, std::string>> wrong = {
      {{{"target", ""}}, "--target is missing: whom to load, such as --target 10.0.0.2:80"},
      {{{"target", "10.0.0.2"}}, "--target 10.0.0.2: expected ADDRESS:PORT, such as 10.0.0.2:80"},
      {{{"target", "10.0.0.2:0"}}, "--target 10.0.0.2:0: expected ADDRESS:PORT"},
      {{{"mode", "https"}},
       "--mode https: expected one of http, http-close, echo, connect-close, upload, download"},
      {{{"rate", "fast"}}, "--rate fast: expected a number such as 64, 10k or 1.5M"},
      {{{"rate", "0"}}, "--rate 0: expected requests a second, more than 0"},
      {{{"rate", "-5"}}, "--rate -5: expected a number"},
      {{{"rate", "nan"}}, "--rate nan: expected a number"},
      {{{"rate", "5"}, {"steps", "5"}}, "--rate and --steps: one of them says the rate"},
      {{{"ramp", "5:6"}}, "--ramp 5:6: expected FROM:TO:TIME, such as 1k:100k:30s"},
      {{{"ramp", "0:0:5s"}}, "--ramp 0:0:5s: one of both rates must be more than 0"},
      {{{"ramp", "1:2:5s"}, {"duration", "9s"}}, "--ramp has its time in it"},
      {{{"steps", "5:1s"}, {"duration", "9s"}},
       "--steps with times of their own: leave --duration"},
      {{{"steps", "5,,6"}}, "--steps : expected a number"},
      {{{"duration", "10"}}, "--duration 10: expected a time such as 10s, 500ms or 2m"},
      {{{"duration", "0s"}}, "--duration 0s: expected more than 0"},
      {{{"timeout", "9d"}}, "--timeout 9d: expected a time"},
      {{{"connections", "0"}}, "--connections 0: expected a whole number from 1 to 100000000"},
      {{{"connections", "1.5"}}, "--connections 1.5: expected a whole number"},
      {{{"size", "10"}}, "--size is for echo, upload and download; with --mode http say --path"},
      {{{"mode", "echo"}, {"path", "/x"}}, "--path is for HTTP, not for --mode echo"},
      {{{"path", "x"}}, "--path x: expected a path that begins with / and has no blanks"},
      {{{"path", "/x y"}}, "--path /x y: expected a path"},
      {{{"pipeline", "2"}, {"mode", "http-close"}}, "--pipeline 2: only with --mode http or echo"},
      {{{"rate", "5"}, {"expected-interval", "1ms"}}, "--expected-interval is for closed loops"},
      {{{"arrivals", "odd"}}, "--arrivals odd: expected even or poisson"},
      {{{"max-errors", "200%"}}, "--max-errors 200%: expected at most 100%"},
      {{{"quiet", "maybe"}}, "--quiet maybe: expected yes or no"},
      {{{"connections", "100M"}, {"pipeline", "64"}}, "--connections times --pipeline: at most"},
  };
  for (const auto& [flags, line] : wrong) {
    const std::string said = error_of(flags);
    INFO(said);
    CHECK(said.starts_with(line));
  }
}

}  // namespace
}  // namespace load
