#include "content.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace httpd {
namespace {

constexpr std::string_view kIndexPage =
    "<!doctype html>\n<html lang=\"en\"><head><meta "
    "charset=\"utf-8\"><title>Sluice</title></head>\n"
    "<body><h1>It flows.</h1>\n<p>This page came through a TCP that runs in user space on "
    "DPDK.</p>\n"
    "<ul>\n<li>GET <code>/bytes/N</code>: N octets of a fixed pattern</li>\n"
    "<li>PUT or POST <code>/sink</code>: the count and SHA-256 of what you send</li>\n"
    "</ul></body></html>\n";

std::string content_type(const std::filesystem::path& path) {
  static const std::unordered_map<std::string, std::string> types = {
      {".html", "text/html; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".css", "text/css"},
      {".js", "text/javascript"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".pdf", "application/pdf"},
      {".wasm", "application/wasm"}};
  const auto found = types.find(path.extension().string());
  return found == types.end() ? "application/octet-stream" : found->second;
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error(fmt::format("--root: cannot read {}", path.string()));
  std::vector<std::byte> octets(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(octets.data()), static_cast<std::streamsize>(octets.size()));
  if (!file) throw std::runtime_error(fmt::format("--root: cannot read {}", path.string()));
  return octets;
}

}  // namespace

Content::Content(const std::string& root) {
  namespace fs = std::filesystem;
  if (!root.empty()) {
    if (!fs::is_directory(root))
      throw std::runtime_error(fmt::format("--root {}: no such directory", root));
    std::uint64_t total = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_symlink() || !entry.is_regular_file()) continue;
      total += entry.file_size();
      if (total > kMaxOctets)
        throw std::runtime_error(
            fmt::format("--root {}: more than {} MiB of files", root, kMaxOctets >> 20));
      const std::string name = '/' + fs::relative(entry.path(), root).generic_string();
      resources_[name] = {content_type(entry.path()), read_file(entry.path())};
    }
  }
  const auto index = resources_.find("/index.html");
  if (index != resources_.end()) resources_["/"] = Resource(index->second);
  if (resources_.count("/") == 0) {
    Resource& page = resources_["/"];
    page.content_type = "text/html; charset=utf-8";
    page.octets.resize(kIndexPage.size());
    std::memcpy(page.octets.data(), kIndexPage.data(), kIndexPage.size());
  }
}

const Resource* Content::find(std::string_view target) const {
  const auto found = resources_.find(target);
  return found == resources_.end() ? nullptr : &found->second;
}

std::span<const std::byte> pattern() {
  static const auto table = [] {
    std::array<std::byte, kPatternLength> octets{};
    for (std::size_t k = 0; k < octets.size(); ++k)
      octets[k] = static_cast<std::byte>((197 * k + k / 256) & 0xff);
    return octets;
  }();
  return table;
}

std::optional<std::uint64_t> bytes_target(std::string_view target) {
  constexpr std::string_view kPrefix = "/bytes/";
  if (!target.starts_with(kPrefix)) return std::nullopt;
  target.remove_prefix(kPrefix.size());
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), count);
  if (error != std::errc{} || end != target.data() + target.size()) return std::nullopt;
  if (count > std::uint64_t{1} << 40) return std::nullopt;
  return count;
}

}  // namespace httpd
