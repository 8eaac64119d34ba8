// sluicectl gate deny, allow, forget, prefixes: the list of sources that may or may not reach a
// running server.

#include "apps/ctl/gate_prefixes.hpp"

#include <fmt/format.h>

#include <atomic>
#include <ostream>
#include <span>

#include "apps/ctl/control_client.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"
#include "ip/prefix_filter.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t number_in(const Json& reply, const char* name) {
  const auto found = reply.find(name);
  return found != reply.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string text_in(const Json& reply, const char* name) {
  const auto found = reply.find(name);
  return found != reply.end() && found->is_string() ? found->get<std::string>() : "?";
}

std::vector<std::string> texts_in(const Json& reply, const char* name) {
  std::vector<std::string> texts;
  const auto found = reply.find(name);
  if (found == reply.end() || !found->is_array()) return texts;
  for (const Json& text : *found)
    if (text.is_string()) texts.push_back(text.get<std::string>());
  return texts;
}

/// Packets that the list denied since the start, by all workers.
std::uint64_t denied_packets(const Instance& instance) {
  std::uint64_t count = 0;
  for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
    const auto section =
        instance.view.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, worker);
    if (section.empty()) continue;
    const std::uint64_t& word =
        section[0].outcomes[static_cast<std::size_t>(telemetry::Outcome::kSourceDenied)];
    count += std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(word))
                 .load(std::memory_order_relaxed);
  }
  return count;
}

void warn_if_behind(const Json& reply, const Instance& instance, Streams streams) {
  const std::uint64_t behind = number_in(reply, "workers_behind");
  if (behind == 0) return;
  streams.err << fmt::format(
      "sluicectl: instance '{}': {} of {} workers have not taken the list yet: they do once they "
      "run again\n",
      instance.name, behind, number_in(reply, "workers"));
}

int change(const std::string& verb, std::span<const std::string> texts,
           const cxxopts::ParseResult& parsed, Streams streams) {
  if (texts.empty())
    throw UsageError(fmt::format("gate {}: which prefixes? (sluicectl gate --help)", verb));
  // Judged here first: a slip of the pen is a matter of usage, whoever lives.
  for (const std::string& text : texts)
    if (!ip::parse_source_prefix(text))
      throw UsageError(
          fmt::format("gate {}: '{}' is no prefix: expected 203.0.113.0/24, 2001:db8::/32 or an "
                      "address, no bits set beyond the length",
                      verb, text));
  const Instance instance = open_for_change(chosen_instance(parsed), streams);
  const Json reply = ask(instance, {{"command", "gate." + verb}, {"prefixes", texts}});
  warn_if_behind(reply, instance, streams);
  const std::uint64_t changed = number_in(reply, "changed");
  if (parsed.count("json") != 0) {
    streams.out << json_text(reply);
  } else {
    const std::string_view done = verb == "deny"    ? "denied"
                                  : verb == "allow" ? "allowed"
                                                    : "no longer in the list";
    streams.out << fmt::format("{}: {} prefix{} {}, {} in the list\n", instance.name, changed,
                               changed == 1 ? "" : "es", done, number_in(reply, "rules"));
  }
  if (changed >= texts.size()) return 0;
  streams.err << fmt::format(
      "sluicectl: {} of {} were not in the list (sluicectl gate prefixes shows it)\n",
      texts.size() - changed, texts.size());
  return 1;
}

struct Listing {
  const Instance& instance;
  Json reply;
};

std::string text_of(const Listing& listing) {
  const Json& reply = listing.reply;
  std::string text;
  Table table({{"Prefix", Align::kLeft}, {"Sources", Align::kLeft}});
  for (const std::string& prefix : texts_in(reply, "deny")) table.add({prefix, "denied"});
  for (const std::string& prefix : texts_in(reply, "allow")) table.add({prefix, "allowed"});
  if (number_in(reply, "rules") > 0) text = table.text();
  return text + fmt::format(
                    "{}: {} of at most {} prefixes; other sources: {}; denied since the "
                    "start: {} packets\n",
                    listing.instance.name, number_in(reply, "rules"), number_in(reply, "maximum"),
                    text_in(reply, "other_sources"), denied_packets(listing.instance));
}

Json json_of(const Listing& listing) {
  Json json = {{"instance", listing.instance.name}};
  for (const char* name : {"other_sources", "maximum", "deny", "allow"})
    json[name] = listing.reply.value(name, Json());
  json["denied_packets_total"] = denied_packets(listing.instance);
  return json;
}

int show(const cxxopts::ParseResult& parsed, Streams streams) {
  const std::string name = chosen_instance(parsed);
  Json list = Json::array();
  std::string text;
  for (const Instance& instance : open_instances(name, streams)) {
    if (name.empty() && !instance.is_alive) continue;  // said so already
    const Listing listing{instance, ask(instance, {{"command", "gate.prefixes"}})};
    warn_if_behind(listing.reply, instance, streams);
    list.push_back(json_of(listing));
    text += (text.empty() ? "" : "\n") + text_of(listing);
  }
  streams.out << (parsed.count("json") != 0 ? json_text(list) : text);
  return list.empty() ? 1 : 0;
}

}  // namespace

int run_gate_words(const std::vector<std::string>& words, const cxxopts::ParseResult& parsed,
                   Streams streams) {
  const std::string& verb = words.front();
  if (parsed.count("watch") != 0)
    throw UsageError(fmt::format("gate {}: --watch goes with 'gate' alone", verb));
  const auto rest = std::span(words).subspan(1);
  if (verb == "deny" || verb == "allow" || verb == "forget")
    return change(verb, rest, parsed, streams);
  if (verb != "prefixes")
    throw UsageError(fmt::format("gate: what is '{}'? (sluicectl gate --help)", verb));
  if (!rest.empty())
    throw UsageError(fmt::format("gate prefixes: what is '{}'? (sluicectl gate --help)", rest[0]));
  return show(parsed, streams);
}

}  // namespace sluice::ctl
