// Tables of goodput and of fairness, computed on virtual links and compared with those that are
// checked in: a change of behaviour is a diff.
//   sim_tables DIR           compares with DIR/*.txt
//   sim_tables --update DIR  writes them

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <string>

#include "tests/sim/bulk.hpp"
#include "tests/support/eal.hpp"

namespace sluice::sim {
namespace {

using Pools = std::array<std::unique_ptr<support::TestPools>, kHosts>;

constexpr Duration ms(std::int64_t n) {
  return Duration::from_ms(n);
}

std::string percent(drivers::Ratio loss) {
  const std::uint32_t per_mille = loss.numerator * 1000 / loss.denominator;
  return per_mille % 10 == 0 ? fmt::format("{} %", per_mille / 10)
                             : fmt::format("{}.{} %", per_mille / 10, per_mille % 10);
}

std::string goodput_table(Pools& pools) {
  constexpr drivers::Ratio kLosses[] = {{0, 1000}, {1, 1000}, {10, 1000}, {20, 1000}, {50, 1000}};
  constexpr std::int64_t kRoundTripsMs[] = {1, 20, 100, 300};
  constexpr std::uint32_t kBuffersPercent[] = {25, 100, 400};
  std::string out =
      "Goodput in kbit/s of one bulk transfer over a path of 20,000 kbit/s (19,128 of payload),\n"
      "MSS 1448. RTT in ms, without queueing; buffer of the bottleneck in bandwidth x RTT, three\n"
      "frames at least; losses of data frames, each alone, ACKs are not lost. Measured for 40 "
      "RTT,\n"
      "2 s at least, after 20 RTT, 1 s at least. For dctcp the queue marks CE from a sixth of\n"
      "bandwidth x RTT on, two frames at least.\n";
  for (const Algorithm& algorithm : kAlgorithms) {
    out += fmt::format("\n{:<8}{:>6}{:>8} |", algorithm.name, "RTT", "buffer");
    for (const auto loss : kLosses) out += fmt::format("{:>9}", percent(loss));
    out += "  <- loss\n";
    for (const std::int64_t round_trip : kRoundTripsMs)
      for (const std::uint32_t buffer : kBuffersPercent) {
        out += fmt::format("{:>14}{:>5}.{:02} |", round_trip, buffer / 100, buffer % 100);
        for (const auto loss : kLosses) {
          const BulkPlan plan{.round_trip = ms(round_trip),
                              .buffer_percent = buffer,
                              .loss = loss,
                              .flows = {{.algorithm = algorithm}},
                              .warm_up = ms(std::max<std::int64_t>(20 * round_trip, 1000)),
                              .measured = ms(std::max<std::int64_t>(40 * round_trip, 2000))};
          out += fmt::format("{:>9}", run_bulk(plan, pools)[0]);
        }
        out += "\n";
      }
  }
  return out;
}

/// Jain's index in thousandths: 1000 if all are equal, 1000/n if one has all.
std::uint64_t jain_per_mille(const std::vector<std::uint64_t>& rates) {
  const std::uint64_t sum = std::accumulate(rates.begin(), rates.end(), std::uint64_t{0});
  std::uint64_t squares = 0;
  for (const std::uint64_t rate : rates) squares += rate * rate;
  return squares == 0 ? 0 : sum * sum / rates.size() * 1000 / squares;
}

std::string fairness_row(std::string_view what, const BulkPlan& plan, Pools& pools) {
  const auto rates = run_bulk(plan, pools);
  const std::uint64_t sum = std::accumulate(rates.begin(), rates.end(), std::uint64_t{0});
  std::string out = fmt::format("{:<34}{:>6}{:>8}{:>3}.{:03} |", what, rates.size(), sum,
                                jain_per_mille(rates) / 1000, jain_per_mille(rates) % 1000);
  for (const std::uint64_t rate : rates)
    out += fmt::format("{:>5}", sum == 0 ? 0 : rate * 1000 / sum);
  return out + "\n";
}

BulkPlan fairness_plan(std::vector<BulkFlow> flows) {
  return {.bits_per_second = 6'000'000,
          .round_trip = ms(40),
          .buffer_percent = 100,
          .flows = std::move(flows),
          .warm_up = ms(5'000),
          .measured = ms(10'000)};
}

std::string fairness_table(Pools& pools) {
  std::string out =
      "Flows that share 6,000 kbit/s for 10 s, after 5 s; buffer 1 x bandwidth x 40 ms. RTT 40 "
      "ms\n"
      "each, or unlike: 40 ms for the even flows and 120 ms for the odd. Jain's index is 1 when "
      "all\n"
      "have as much. Shares in thousandths, in the order in which the flows began (50 ms "
      "apart).\n\n";
  out +=
      fmt::format("{:<34}{:>6}{:>8}{:>7} | shares\n", "algorithm, RTT", "flows", "kbit/s", "Jain");
  for (const Algorithm& algorithm : kAlgorithms)
    for (const bool is_unlike : {false, true})
      for (const std::size_t count : {2u, 4u, 8u}) {
        std::vector<BulkFlow> flows(count, {.algorithm = algorithm});
        for (std::size_t i = 1; is_unlike && i < count; i += 2) flows[i].extra_delay = ms(80);
        out +=
            fairness_row(fmt::format("{}, RTT {}", algorithm.name, is_unlike ? "unlike" : "same"),
                         fairness_plan(std::move(flows)), pools);
      }
  for (std::size_t a = 0; a < kAlgorithms.size(); ++a)
    for (std::size_t b = a + 1; b < kAlgorithms.size(); ++b)
      for (const std::size_t count : {2u, 4u, 8u}) {
        std::vector<BulkFlow> flows(count);
        for (std::size_t i = 0; i < count; ++i)
          flows[i].algorithm = kAlgorithms[i % 2 == 0 ? a : b];
        out += fairness_row(
            fmt::format("{} (even), {} (odd)", kAlgorithms[a].name, kAlgorithms[b].name),
            fairness_plan(std::move(flows)), pools);
      }
  return out;
}

/// True if `text` is what the file holds. Says which lines differ.
bool is_as_checked_in(const std::string& path, const std::string& text) {
  std::ifstream file(path);
  const std::string expected{std::istreambuf_iterator<char>(file), {}};
  if (expected == text) return true;
  fmt::print("FAILED: {} differs ('-' is checked in, '+' is now)\n", path);
  const auto lines_of = [](const std::string& all) {
    std::vector<std::string> lines;
    for (std::size_t at = 0, end; at < all.size(); at = end + 1) {
      end = std::min(all.find('\n', at), all.size());
      lines.push_back(all.substr(at, end - at));
    }
    return lines;
  };
  const auto before = lines_of(expected), after = lines_of(text);
  for (std::size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
    const bool is_same = i < before.size() && i < after.size() && before[i] == after[i];
    if (is_same) continue;
    if (i < before.size()) fmt::print("-{}\n", before[i]);
    if (i < after.size()) fmt::print("+{}\n", after[i]);
  }
  return false;
}

int run(const std::string& folder, bool is_updating) {
  support::start_eal();
  Pools pools;
  for (auto& each : pools)
    each = std::make_unique<support::TestPools>(
        support::TestPools::Sizes{.receive = 7168, .control = 1024, .indirect = 2048});
  using Maker = std::function<std::string(Pools&)>;
  const std::pair<const char*, Maker> tables[] = {{"goodput.txt", goodput_table},
                                                  {"fairness.txt", fairness_table}};
  int failed = 0;
  for (const auto& [name, make] : tables) {
    const std::string text = make(pools);
    const std::string path = folder + "/" + name;
    if (is_updating) {
      std::ofstream(path) << text;
      fmt::print("{}", text);
    } else if (!is_as_checked_in(path, text)) {
      ++failed;
    }
  }
  fmt::print("{} passed, {} failed\n", static_cast<int>(std::size(tables)) - failed, failed);
  if (failed > 0)
    fmt::print("if the change is meant: sim_tables --update {}, and say why in the commit\n",
               folder);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice::sim

int main(int argc, char** argv) {
  const bool is_updating = argc == 3 && std::string_view(argv[1]) == "--update";
  if (argc != 2 && !is_updating) {
    fmt::print(stderr, "usage: sim_tables [--update] FOLDER\n");
    return 2;
  }
  try {
    return sluice::sim::run(argv[argc - 1], is_updating);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sim_tables: {}\n", error.what());
    return 1;
  }
}
