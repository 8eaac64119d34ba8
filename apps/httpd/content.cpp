#include "content.hpp"

#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "http_date.hpp"
#include "syntax.hpp"

namespace httpd {
namespace {

constexpr std::string_view kIndexPage =
    "<!doctype html>\n<html lang=\"en\"><head><meta "
    "charset=\"utf-8\"><title>Sluice</title></head>\n"
    "<body><h1>It flows.</h1>\n<p>This page came through a TCP that runs in user space on "
    "DPDK.</p>\n"
    "<ul>\n<li>GET <code>/bytes/N</code>: N octets of a fixed pattern</li>\n"
    "<li>PUT or POST <code>/sink</code>: the count and SHA-256 of what you send</li>\n"
    "<li>GET <code>/status</code>, <code>/status?json</code>: requests, connections, latency</li>\n"
    "</ul></body></html>\n";
constexpr std::int64_t kIndexPageChanged = 1764288000;  // 28 Nov 2025

std::string content_type(const std::filesystem::path& path) {
  static const std::unordered_map<std::string, std::string> types = {
      {".html", "text/html; charset=utf-8"},
      {".htm", "text/html; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/markdown; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".xml", "application/xml"},
      {".csv", "text/csv; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".jpeg", "image/jpeg"},
      {".gif", "image/gif"},
      {".webp", "image/webp"},
      {".ico", "image/x-icon"},
      {".woff2", "font/woff2"},
      {".mp4", "video/mp4"},
      {".pdf", "application/pdf"},
      {".wasm", "application/wasm"}};
  std::string extension = path.extension().string();
  for (char& octet : extension) octet = lower(octet);
  const auto found = types.find(extension);
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

std::int64_t last_modified(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0)
    throw std::runtime_error(fmt::format("--root: cannot read {}", path.string()));
  return status.st_mtime;
}

std::shared_ptr<const Resource> make_resource(std::vector<std::byte> octets, std::string_view type,
                                              std::int64_t changed) {
  std::array<unsigned char, 16> digest;
  crypto_generichash(digest.data(), digest.size(),
                     reinterpret_cast<const unsigned char*>(octets.data()), octets.size(), nullptr,
                     0);
  std::array<char, 2 * digest.size() + 1> hex;
  sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
  Resource resource;
  resource.octets = std::move(octets);
  resource.etag = fmt::format("\"{}\"", hex.data());
  resource.last_modified = changed;
  const HttpDate date = format_date(changed);
  resource.validators = fmt::format("ETag: {}\r\nLast-Modified: {}\r\n", resource.etag,
                                    std::string_view(date.data(), date.size()));
  resource.fields =
      fmt::format("Content-Type: {}\r\nAccept-Ranges: bytes\r\n{}", type, resource.validators);
  return std::make_shared<const Resource>(std::move(resource));
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
      resources_[name] = make_resource(read_file(entry.path()), content_type(entry.path()),
                                       last_modified(entry.path()));
    }
  }
  // A folder's index answers for the folder.
  std::vector<std::string> indices;
  for (const auto& [name, resource] : resources_)
    if (name.ends_with("/index.html")) indices.push_back(name);
  for (const std::string& name : indices)
    resources_[name.substr(0, name.rfind('/') + 1)] = resources_[name];
  if (resources_.count("/") == 0) {
    const auto page = std::as_bytes(std::span(kIndexPage));
    resources_["/"] =
        make_resource({page.begin(), page.end()}, "text/html; charset=utf-8", kIndexPageChanged);
  }
}

const Resource* Content::find(std::string_view path) const {
  const auto found = resources_.find(path);
  return found == resources_.end() ? nullptr : found->second.get();
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
