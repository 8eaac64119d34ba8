#include "telemetry/region.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "telemetry/region_files.hpp"

namespace sluice::telemetry {
namespace {

constexpr std::uint64_t kSectionAlignment = 64;
static_assert(std::is_trivially_copyable_v<RegionHeader>);
static_assert(sizeof(RegionHeader) % alignof(SectionEntry) == 0);

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Places of the sections, and octets of the whole.
struct Layout {
  std::vector<SectionEntry> entries;
  std::uint64_t size = 0;
};

Layout lay_out(std::span<const SectionPlan> plan) {
  Layout layout;
  std::uint64_t offset = sizeof(RegionHeader) + plan.size() * sizeof(SectionEntry);
  for (const SectionPlan& section : plan) {
    offset = round_up(offset, kSectionAlignment);
    layout.entries.push_back({section.kind, section.worker, section.stride, section.count, offset});
    // No more than 2^62 in all, so that neither this sum nor an off_t can wrap.
    const std::uint64_t octets = std::uint64_t{section.stride} * section.count;
    if (octets > (std::uint64_t{1} << 62) - offset)
      throw std::runtime_error("state region: the configured tables do not fit an address space");
    offset += octets;
  }
  layout.size = round_up(offset, kSectionAlignment);
  return layout;
}

template <std::size_t kSize>
void copy_text(char (&target)[kSize], std::string_view text) {
  const std::size_t length = text.copy(target, kSize - 1);
  target[length] = '\0';
}

void write_header(std::byte* base, const Layout& layout, std::uint64_t size) {
  auto* header = ::new (base) RegionHeader{};
  header->version = RegionHeader::kVersion;
  header->section_count = static_cast<std::uint32_t>(layout.entries.size());
  header->size = size;
  header->pid = ::getpid();
  header->magic = RegionHeader::kMagic;
  if (!layout.entries.empty())
    std::memcpy(base + sizeof(RegionHeader), layout.entries.data(),
                layout.entries.size() * sizeof(SectionEntry));
}

std::int64_t clock_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// An open file that closes itself.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

[[noreturn]] void refuse(const std::string& path, int error) {
  throw std::runtime_error(fmt::format("state region {}: {}", path, std::strerror(error)));
}

[[noreturn]] void refuse_in_use(const std::string& path, std::string_view instance) {
  RegionHeader header{};
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string who = "another process";
  if (file.get() >= 0) {
    void* at = ::mmap(nullptr, sizeof header, PROT_READ, MAP_SHARED, file.get(), 0);
    struct stat facts {};
    if (at != MAP_FAILED && ::fstat(file.get(), &facts) == 0 &&
        facts.st_size >= static_cast<off_t>(sizeof header)) {
      std::memcpy(&header, at, sizeof header);
      header.program[sizeof header.program - 1] = '\0';
      if (header.magic == RegionHeader::kMagic)
        who = fmt::format("{} (pid {})", header.program, header.pid);
    }
    if (at != MAP_FAILED) ::munmap(at, sizeof header);
  }
  throw std::runtime_error(fmt::format(
      "instance '{}' is in use by {}, which holds {}: stop it or choose another --instance",
      instance, who, path));
}

bool is_same_file(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/// Takes the name: the lock of whatever file stands at `path`, made if there is none. Holding it
/// keeps every other starter of the instance out until the new region stands under that name.
File claim_name(const std::string& path, std::string_view instance) {
  for (;;) {
    File file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (file.get() < 0) refuse(path, errno);
    if (!try_lock(file.get())) refuse_in_use(path, instance);
    if (is_same_file(file.get(), path)) return file;  // else it was replaced meanwhile: again
  }
}

/// Removes what starters of the instance left that were killed before theirs took its name. Who has
/// claimed the name is the only one that starts.
void clear_temporaries(const std::string& directory, std::string_view instance) {
  const std::string prefix = fmt::format(".sluice.{}.", instance);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name.size() > prefix.size() && name.starts_with(prefix) &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
      ::unlink(entry.path().c_str());
  }
}

/// Removes a dead instance's file from a directory other than the one that was chosen.
void clear_elsewhere(const std::string& path, std::string_view instance) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) return;
  if (is_locked(file.get())) refuse_in_use(path, instance);
  ::unlink(path.c_str());
}

int allocate(int fd, std::uint64_t size) {
  int error = 0;
  do {
    error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
  } while (error == EINTR);
  return error;
}

constexpr double kMebibyte = 1024.0 * 1024.0;

/// A new locked file with room for `size` octets, under a temporary name.
std::optional<File> make_file(const std::string& path, std::uint64_t size, int& error) {
  File file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (file.get() < 0) {
    error = errno;
    return std::nullopt;
  }
  error = ::fchmod(file.get(), 0640) != 0 ? errno : 0;  // whatever the umask says
  if (error == 0) error = allocate(file.get(), size);
  if (error == 0 && !try_lock(file.get())) error = errno;
  if (error == 0) return file;
  ::unlink(path.c_str());
  return std::nullopt;
}

RegionDirectory choose_directory(std::uint64_t size) {
  const std::vector<RegionDirectory> directories = region_directories();
  for (const RegionDirectory& directory : directories) {
    // A region that would fill less than half of its last huge page is better off in small ones.
    if (directory.is_huge && size >= directory.page_bytes / 2 &&
        free_bytes_in(directory) >= round_up(size, directory.page_bytes) &&
        ::access(directory.path.c_str(), W_OK | X_OK) == 0)
      return directory;
  }
  return directories.back();
}

}  // namespace

bool is_valid_instance_name(std::string_view name) {
  if (name.empty() || name.size() > 48 || name.front() == '.' || name.front() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

namespace {

/// Millions of records would miss the TLB each time. Small regions stay in small pages, of which
/// they touch less; a kernel that has no huge ones refuses, and small ones do as well.
void ask_for_huge_pages(void* at, std::size_t size) {
  constexpr std::size_t kLarge = std::size_t{64} << 20;
  if (size >= kLarge) static_cast<void>(::madvise(at, size, MADV_HUGEPAGE));
}

}  // namespace

StateRegion StateRegion::anonymous(std::span<const SectionPlan> plan) {
  const Layout layout = lay_out(plan);
  void* at = ::mmap(nullptr, layout.size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    throw std::runtime_error(fmt::format("state region: no {:.1f} MiB of memory: {}",
                                         static_cast<double>(layout.size) / kMebibyte,
                                         std::strerror(errno)));
  ask_for_huge_pages(at, layout.size);
  StateRegion region;
  region.base_ = static_cast<std::byte*>(at);
  region.size_ = layout.size;
  write_header(region.base_, layout, layout.size);
  return region;
}

StateRegion StateRegion::create(std::string_view instance, std::string_view program,
                                std::span<const SectionPlan> plan) {
  if (!is_valid_instance_name(instance))
    throw std::runtime_error(
        fmt::format("instance '{}': a name has 1 to 48 letters, digits, '.', '_' or '-' and starts "
                    "with none of '.' and '-'",
                    instance));
  const Layout layout = lay_out(plan);
  const RegionDirectory directory = choose_directory(layout.size);
  const std::uint64_t size = round_up(layout.size, directory.page_bytes);
  const std::string path = region_path(directory, instance);
  for (const RegionDirectory& other : region_directories())
    if (other.path != directory.path) clear_elsewhere(region_path(other, instance), instance);

  // The new file is complete before it takes the name, so that no reader ever sees half a region,
  // and the old one is never truncated under a reader that has it mapped.
  File name = claim_name(path, instance);
  clear_temporaries(directory.path, instance);
  const std::string temporary =
      fmt::format("{}/.sluice.{}.{}", directory.path, instance, ::getpid());
  int error = 0;
  std::optional<File> file = make_file(temporary, size, error);
  if (!file) {
    // The dead instance's octets may be the room that is missing. Its last state goes with them:
    // the name, held by nobody but us, is given up either way.
    const std::uint64_t had = [&name] {
      struct stat facts {};
      return ::fstat(name.get(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
    }();
    ::unlink(path.c_str());
    if (error == ENOSPC && had > 0) {
      name = claim_name(path, instance);
      file = make_file(temporary, size, error);
      if (!file) ::unlink(path.c_str());
    }
  }
  if (!file && (error == ENOSPC || error == EFBIG || error == ENOMEM))
    throw std::runtime_error(
        fmt::format("state region {}: {:.1f} MiB wanted, {:.1f} MiB free: lower max_connections "
                    "and its kin, or give {} more room",
                    path, static_cast<double>(size) / kMebibyte,
                    static_cast<double>(free_bytes_in(directory)) / kMebibyte, directory.path));
  if (!file) refuse(path, error);

  void* at =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file->get(), 0);
  if (at == MAP_FAILED) {
    error = errno;
    ::unlink(temporary.c_str());
    ::unlink(path.c_str());
    refuse(path, error);
  }
  StateRegion region;
  region.base_ = static_cast<std::byte*>(at);
  region.size_ = size;
  region.lock_fd_ = file->release();
  region.path_ = path;
  write_header(region.base_, layout, size);
  RegionHeader& header = region.header();
  header.started_monotonic = clock_ns(CLOCK_MONOTONIC);
  header.started_wall = clock_ns(CLOCK_REALTIME);
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  copy_text(header.boot_id, boot_id);
  copy_text(header.instance, instance);
  copy_text(header.program, program);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    error = errno;
    ::unlink(temporary.c_str());
    refuse(path, error);
  }
  return region;
}

StateRegion::StateRegion(StateRegion&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      path_(std::exchange(other.path_, {})) {}

StateRegion& StateRegion::operator=(StateRegion&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(lock_fd_, other.lock_fd_);
  std::swap(path_, other.path_);
  return *this;
}

StateRegion::~StateRegion() {
  if (base_ != nullptr) ::munmap(base_, size_);
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

void StateRegion::remove_file() {
  if (!path_.empty() && is_same_file(lock_fd_, path_)) ::unlink(path_.c_str());
  path_.clear();
}

const SectionEntry& StateRegion::find(SectionKind kind, std::uint32_t worker) const {
  const auto* header = reinterpret_cast<const RegionHeader*>(base_);
  const auto* entries = reinterpret_cast<const SectionEntry*>(base_ + sizeof(RegionHeader));
  const SectionEntry* found = nullptr;
  for (std::uint32_t i = 0; i < header->section_count && found == nullptr; ++i)
    if (entries[i].kind == kind && entries[i].worker == worker) found = &entries[i];
  SLUICE_ASSERT(found != nullptr);
  return *found;
}

}  // namespace sluice::telemetry
