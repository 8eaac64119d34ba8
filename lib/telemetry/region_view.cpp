#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include "telemetry/region.hpp"
#include "telemetry/region_files.hpp"

namespace sluice::telemetry {
namespace {

constexpr std::uint32_t kMaxWorkers = 4096;

[[noreturn]] void refuse(const std::string& path, std::string_view why) {
  throw std::runtime_error(fmt::format("{}: {}", path, why));
}

/// The directory of a mapping that anybody may have written: copied first, then checked, so that
/// what was checked is what will be used.
std::vector<SectionEntry> checked_sections(const std::byte* base, std::uint64_t size,
                                           const std::string& path) {
  RegionHeader header;
  std::memcpy(&header, base, sizeof header);
  const std::uint64_t room = (size - sizeof header) / sizeof(SectionEntry);
  if (header.section_count > room) refuse(path, "its directory goes beyond its end");
  std::vector<SectionEntry> sections(header.section_count);
  if (!sections.empty())
    std::memcpy(sections.data(), base + sizeof header, sections.size() * sizeof(SectionEntry));
  for (const SectionEntry& entry : sections) {
    if (entry.worker != kSharedSection && entry.worker >= kMaxWorkers)
      refuse(path, fmt::format("it has a section of worker {}", entry.worker));
    const std::uint64_t octets = std::uint64_t{entry.stride} * entry.count;
    if (entry.stride == 0 || entry.offset % 64 != 0 || entry.offset > size ||
        octets > size - entry.offset)
      refuse(path, fmt::format("its section of kind {} goes beyond its end",
                               static_cast<std::uint32_t>(entry.kind)));
  }
  return sections;
}

/// For who may not open `path`: who may, as "mode 0640, root".
std::string rights_of(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return path;
  passwd entry{};
  passwd* owner = nullptr;
  char text[4096];
  ::getpwuid_r(facts.st_uid, &entry, text, sizeof text, &owner);
  return fmt::format("mode {:04o}, {}", facts.st_mode & 07777u,
                     owner != nullptr ? owner->pw_name : std::to_string(facts.st_uid));
}

/// Something stands at `path` that could be a region. Needs no right to read it.
bool may_be_region(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         facts.st_size >= static_cast<off_t>(sizeof(RegionHeader));
}

std::string known_instances() {
  std::string names;
  for (const std::string& name : RegionView::instances())
    names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "there is none" : "there are: " + names;
}

}  // namespace

RegionView RegionView::open(std::string_view instance) {
  if (!is_valid_instance_name(instance))
    throw std::runtime_error(fmt::format("'{}' cannot be an instance's name", instance));
  std::string path;
  RegionView view;
  for (const RegionDirectory& directory : region_directories()) {
    path = region_path(directory, instance);
    view.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const int error = errno;
    if (view.fd_ >= 0) break;
    // A directory that cannot be looked into is as one that has none.
    if (error == EACCES && may_be_region(path))
      throw std::runtime_error(
          fmt::format("instance '{}': no right to read ({}): use sudo", instance, rights_of(path)));
    errno = error == EACCES ? ENOENT : error;
    if (errno != ENOENT) break;
  }
  if (view.fd_ < 0 && errno == ENOENT)
    throw std::runtime_error(fmt::format("no instance '{}': {}", instance, known_instances()));
  if (view.fd_ < 0) refuse(path, std::strerror(errno));

  struct stat facts {};
  if (::fstat(view.fd_, &facts) != 0) refuse(path, std::strerror(errno));
  if (!S_ISREG(facts.st_mode)) refuse(path, "not a regular file");
  const auto file_size = static_cast<std::uint64_t>(facts.st_size);
  if (file_size < sizeof(RegionHeader)) refuse(path, "too short for a state region");
  void* at = ::mmap(nullptr, file_size, PROT_READ, MAP_SHARED, view.fd_, 0);
  if (at == MAP_FAILED) refuse(path, std::strerror(errno));
  view.base_ = static_cast<const std::byte*>(at);
  view.size_ = file_size;

  RegionHeader header;
  std::memcpy(&header, view.base_, sizeof header);
  if (header.magic != RegionHeader::kMagic) refuse(path, "not a state region of Sluice");
  if (header.version != RegionHeader::kVersion)
    refuse(path, fmt::format("state region of version {}, this program reads version {}",
                             header.version, RegionHeader::kVersion));
  if (header.size > file_size)
    refuse(path, fmt::format("truncated: {} octets of {}", file_size, header.size));
  view.sections_ = checked_sections(view.base_, file_size, path);
  return view;
}

RegionView RegionView::over(StateRegion& region) {
  RegionView view;
  view.base_ = reinterpret_cast<const std::byte*>(&region.header());
  view.size_ = region.size();
  view.sections_ = checked_sections(view.base_, view.size_, "this process's region");
  return view;
}

std::vector<std::string> RegionView::instances() {
  std::set<std::string> names;
  for (const RegionDirectory& directory : region_directories()) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.path.c_str()), ::closedir);
    if (stream == nullptr) continue;
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view instance = instance_of_file(entry->d_name);
      if (!instance.empty() && may_be_region(region_path(directory, instance)))
        names.emplace(instance);
    }
  }
  return {names.begin(), names.end()};
}

RegionView::RegionView(RegionView&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      sections_(std::exchange(other.sections_, {})) {}

RegionView::~RegionView() {
  if (fd_ < 0) return;  // borrowed, or moved from
  if (base_ != nullptr) ::munmap(const_cast<std::byte*>(base_), size_);
  ::close(fd_);
}

bool RegionView::is_owner_alive() const {
  return fd_ < 0 || is_locked(fd_);
}

std::uint32_t RegionView::workers() const {
  std::uint32_t count = 0;
  for (const SectionEntry& entry : sections_)
    if (entry.worker != kSharedSection) count = std::max(count, entry.worker + 1);
  return count;
}

std::string_view RegionView::instance() const {
  return {header().instance, ::strnlen(header().instance, sizeof header().instance)};
}
std::string_view RegionView::program() const {
  return {header().program, ::strnlen(header().program, sizeof header().program)};
}

}  // namespace sluice::telemetry
