// sluicectl addr, route and neigh with add or del: what `ip` does to the kernel, for a running
// server.

#include "apps/ctl/network_words.hpp"

#include <fmt/format.h>

#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "apps/ctl/control_client.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"
#include "base/address.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;

/// The words behind `sluicectl OBJECT VERB`, read one by one.
class Words {
 public:
  Words(std::string_view object, std::span<const std::string> words)
      : command_(fmt::format("{} {}", object, words.front())),
        object_(object),
        left_(words.subspan(1)) {}

  bool is_empty() const { return left_.empty(); }
  const std::string& next(std::string_view what) {
    if (left_.empty()) refuse(fmt::format("{} is missing", what));
    const std::string& word = left_.front();
    left_ = left_.subspan(1);
    return word;
  }
  [[noreturn]] void refuse(const std::string& text) const {
    throw UsageError(fmt::format("{}: {} (sluicectl {} --help)", command_, text, object_));
  }

 private:
  std::string command_;
  std::string object_;
  std::span<const std::string> left_;
};

/// A prefix; without a length one of a single address. Its text as the server takes it.
std::string prefix_text(Words& words, std::string_view what) {
  const std::string& word = words.next(what);
  std::optional<Prefix> prefix = parse_prefix(word);
  if (const auto address = parse_ip(word); address && address->is_v4())
    prefix = Prefix{*address, 32};
  if (word == "default") prefix = Prefix{Ipv4Addr{}, 0};
  if (!prefix || !prefix->address.is_v4())
    words.refuse(fmt::format("'{}' is no IPv4 {}", word, what));
  return to_string(*prefix);
}

std::string address_text(Words& words, std::string_view what) {
  const std::string& word = words.next(what);
  const auto address = parse_ip(word);
  if (!address || !address->is_v4()) words.refuse(fmt::format("'{}' is no IPv4 address", word));
  return to_string(*address);
}

std::string mac_text(Words& words) {
  const std::string& word = words.next("the MAC address behind lladdr");
  const auto mac = parse_mac(word);
  if (!mac) words.refuse(fmt::format("'{}' is no MAC address", word));
  return to_string(*mac);
}

std::uint64_t interface_number(Words& words) {
  const std::string& word = words.next("the interface's number behind dev");
  const bool is_number = !word.empty() && word.size() <= 3 &&
                         word.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || std::stoul(word) >= 255)
    words.refuse(
        fmt::format("dev '{}': interfaces are numbered from 0 (see sluicectl route)", word));
  return std::stoul(word);
}

Json address_request(Words& words, bool) {
  Json request = {{"address", prefix_text(words, "address with its length")}};
  while (!words.is_empty()) {
    const std::string& word = words.next("");
    if (word != "dev") words.refuse(fmt::format("what is '{}'?", word));
    request["interface"] = interface_number(words);
  }
  return request;
}

Json route_request(Words& words, bool is_addition) {
  Json request = {{"destination", prefix_text(words, "destination")}};
  while (!words.is_empty()) {
    const std::string& word = words.next("");
    if (word == "via")
      request["gateway"] = address_text(words, "the gateway behind via");
    else if (word == "dev")
      request["interface"] = interface_number(words);
    else if (word == "congctl" && is_addition)
      request["congestion"] = words.next("the algorithm behind congctl");
    else
      words.refuse(fmt::format("what is '{}'?", word));
  }
  return request;
}

Json neighbor_request(Words& words, bool is_addition) {
  Json request = {{"address", address_text(words, "the neighbour's address")}};
  while (!words.is_empty()) {
    const std::string& word = words.next("");
    if (word == "lladdr" && is_addition)
      request["mac"] = mac_text(words);
    else if (word == "dev")
      request["interface"] = interface_number(words);
    else if (word == "nud" && words.next("the state behind nud") != "permanent")
      words.refuse("entries made here are permanent, no other nud");
    else if (word != "nud" && word != "permanent")
      words.refuse(fmt::format("what is '{}'?", word));
  }
  if (is_addition && !request.contains("mac")) words.refuse("lladdr MAC is missing");
  return request;
}

}  // namespace

void add_words(cxxopts::Options& options) {
  options.add_options("words")("words", "", cxxopts::value<std::vector<std::string>>());
  options.parse_positional({"words"});
}

bool has_words(const cxxopts::ParseResult& parsed) {
  return parsed.count("words") != 0;
}

int run_network_words(std::string_view object, const cxxopts::ParseResult& parsed,
                      Streams streams) {
  const auto texts = parsed["words"].as<std::vector<std::string>>();
  const bool is_addition = texts.front() == "add";
  if (!is_addition && texts.front() != "del" && texts.front() != "delete")
    throw UsageError(
        fmt::format("{0}: what is '{1}'? (sluicectl {0} --help)", object, texts.front()));
  Words words(object, texts);
  Json request = object == "addr"    ? address_request(words, is_addition)
                 : object == "route" ? route_request(words, is_addition)
                                     : neighbor_request(words, is_addition);
  request["command"] = fmt::format("{}.{}", object, is_addition ? "add" : "del");
  const Instance instance = open_for_change(chosen_instance(parsed), streams);
  const Json reply = ask(instance, request);
  if (parsed.count("json") != 0) {
    streams.out << json_text(reply);
    return 0;
  }
  const std::uint64_t count = reply.value("changed", std::uint64_t{0});
  const char* const key = object == "route" ? "destination" : "address";
  streams.out << fmt::format("{}: {} {} {} ({} worker{})\n", instance.name, object,
                             request[key].get<std::string>(), is_addition ? "added" : "deleted",
                             count, count == 1 ? "" : "s");
  return 0;
}

}  // namespace sluice::ctl
