#include "tests/sim/network_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tests/sim/plan_addresses.hpp"

namespace sluice::sim {

using drivers::LinkOptions;
using drivers::Ratio;

LinkOptions draw_link(Dice& dice, Weather weather) {
  LinkOptions link;
  link.delay =
      dice.pick({Duration::zero(), us(50), ms(1), ms(10), ms(50), dice.between(us(1), ms(200))});
  link.jitter = dice.one_in(3) ? dice.between(us(1), ms(20)) : Duration::zero();
  link.bits_per_second = dice.pick<std::uint64_t>(
      {0, 0, 0, 0, 64'000, 512'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000});
  link.queue_bytes = 1514 * dice.pick32({8, 16, 64, 256, 1024});
  // A queue of more than a second would outlast the patience of ARP, and no link has one for long.
  if (link.bits_per_second != 0)
    link.queue_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        link.queue_bytes, std::max<std::uint64_t>(link.bits_per_second / 8, 4 * 1514)));
  const std::uint32_t loss = weather == Weather::kClear   ? 0
                             : weather == Weather::kMild  ? 3
                             : weather == Weather::kRough ? 10
                                                          : 20;
  link.loss = dice.up_to_percent(loss);
  link.duplicate = dice.up_to_percent(loss / 2);
  link.reorder = dice.up_to_percent(loss);
  link.corrupt = dice.up_to_percent(loss / 4);
  link.reorder_delay = dice.pick({us(500), ms(5), ms(50), ms(400)});
  return link;
}

void draw_features(Dice& dice, Weather weather, std::uint16_t port_mtu, LinkOptions& link) {
  link.jitter_reorders = dice.one_in(3);
  if (weather != Weather::kClear && dice.one_in(6))
    link.burst_loss = {.turns_bad = {1, dice.pick32({50, 200, 1000})},
                       .turns_good = {1, dice.pick32({2, 4, 16})},
                       .loss_when_bad = dice.pick<Ratio>({{1, 1}, {1, 2}})};
  if (dice.one_in(10))
    link.policer = {.bits_per_second = dice.pick<std::uint64_t>({512'000, 5'000'000, 50'000'000}),
                    .burst_bytes = 1514 * dice.pick32({4, 16, 128})};
  if (link.bits_per_second != 0 && dice.one_in(3)) {
    const std::uint32_t first = std::max(link.queue_bytes / dice.pick32({2, 4, 16}), 2u * 1514);
    const bool is_step = dice.one_in(2);
    link.marking = {.first_bytes = first,
                    .last_bytes = is_step ? first : std::max(first, link.queue_bytes),
                    .most_between = {1, dice.pick32({2, 10})},
                    // A step that drops is a queue of that length: those exist already.
                    .drops_others = dice.one_in(3) && !is_step};
  }
  if (dice.one_in(12)) {
    const std::uint32_t mtu = dice.pick32({1400, 1280, 1006, 576});
    if (mtu < port_mtu) link.mtu = static_cast<std::uint16_t>(mtu);
    if (!dice.one_in(3)) link.router_ip = Plan::kRouter;
  }
}

void draw_cutting(Dice& dice, LinkOptions& link) {
  link.cuts = dice.one_in(3) && link.mtu != 0;
}

MischiefPlan draw_mischief(Dice& dice, Duration heal_at) {
  MischiefPlan plan;
  plan.kind =
      static_cast<Mischief>(dice.between(1, static_cast<std::uint64_t>(Mischief::kCount) - 1));
  plan.host = static_cast<unsigned>(dice.between(0, 1));
  plan.often = {1, dice.pick32({1, 2, 16})};
  plan.from = dice.one_in(2) ? Duration::zero() : dice.between(Duration::zero(), s(1));
  plan.until = std::min(heal_at, plan.from + dice.pick({s(2), s(20), s(300)}));
  return plan;
}

LinkOptions healed(const LinkOptions& link) {
  LinkOptions whole{.delay = link.delay,
                    .bits_per_second = link.bits_per_second,
                    .queue_bytes = link.queue_bytes,
                    .marking = link.marking};
  whole.marking.drops_others = false;
  return whole;
}

bool is_gentle(const LinkOptions& link) {
  return link.loss.numerator + link.corrupt.numerator <= 10 &&
         link.burst_loss.turns_bad.numerator == 0 && link.policer.bits_per_second == 0 &&
         !link.marking.drops_others;
}

std::string text(Duration d) {
  return d.is_infinite() ? "never" : fmt::format("{}.{:03} ms", d.us() / 1000, d.us() % 1000);
}

std::string describe(const LinkOptions& link) {
  std::string out = fmt::format(
      "delay {} jitter {}{} rate {} bit/s queue {} octets; per mille: loss {} duplicate {} reorder "
      "{} (by {}) corrupt {}",
      text(link.delay), text(link.jitter), link.jitter_reorders ? " reordering" : "",
      link.bits_per_second, link.queue_bytes, link.loss.numerator, link.duplicate.numerator,
      link.reorder.numerator, text(link.reorder_delay), link.corrupt.numerator);
  if (link.burst_loss.turns_bad.numerator != 0)
    out += fmt::format(
        ", bursts: bad 1/{}, good 1/{}, loss {}/{}", link.burst_loss.turns_bad.denominator,
        link.burst_loss.turns_good.denominator, link.burst_loss.loss_when_bad.numerator,
        link.burst_loss.loss_when_bad.denominator);
  if (link.policer.bits_per_second != 0)
    out += fmt::format(", policed to {} bit/s with {} octets at once", link.policer.bits_per_second,
                       link.policer.burst_bytes);
  if (link.marking.first_bytes != 0)
    out += fmt::format(", marks from {} to {} octets up to 1/{}{}", link.marking.first_bytes,
                       link.marking.last_bytes, link.marking.most_between.denominator,
                       link.marking.drops_others ? ", drops the others" : "");
  if (link.mtu != 0)
    out += fmt::format(", path MTU {} ({})", link.mtu,
                       link.cuts                         ? "cuts"
                       : link.router_ip.is_unspecified() ? "black hole"
                                                         : "reported");
  return out;
}

std::string describe(const MischiefPlan& plan) {
  static constexpr const char* kNames[] = {"none",
                                           "splits ACKs",
                                           "duplicates ACKs",
                                           "acknowledges too early",
                                           "shrinks its window",
                                           "shuts its window",
                                           "reneges on SACK",
                                           "reports false duplicates",
                                           "clock jumps ahead",
                                           "clock jumps back",
                                           "false TSecr",
                                           "false window scale",
                                           "always ECE"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Mischief::kCount));
  return fmt::format("host {} {}, one in {}, from {} to {}", plan.host,
                     kNames[static_cast<std::size_t>(plan.kind)], plan.often.denominator,
                     text(plan.from), text(plan.until));
}

}  // namespace sluice::sim
