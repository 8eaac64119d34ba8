#include "telemetry/region_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <mntent.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>

#include "telemetry/region.hpp"

namespace sluice::telemetry {
namespace {

constexpr std::string_view kPrefix = "sluice.";

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

std::vector<RegionDirectory> region_directories() {
  std::vector<RegionDirectory> directories;
  const std::unique_ptr<FILE, int (*)(FILE*)> mounts(::setmntent("/proc/self/mounts", "r"),
                                                     ::endmntent);
  if (mounts != nullptr) {
    mntent entry{};
    char text[4096];
    while (::getmntent_r(mounts.get(), &entry, text, sizeof text) != nullptr) {
      if (std::string_view(entry.mnt_type) != "hugetlbfs") continue;
      struct statfs facts {};
      if (::statfs(entry.mnt_dir, &facts) != 0 || facts.f_bsize <= 0) continue;
      directories.push_back({entry.mnt_dir, static_cast<std::uint64_t>(facts.f_bsize), true});
    }
  }
  directories.push_back({"/dev/shm", static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)), false});
  return directories;
}

std::uint64_t free_bytes_in(const RegionDirectory& directory) {
  if (directory.is_huge) {
    // A hugetlbfs mount without a size says 0 blocks: the pool's count is what tells.
    std::ifstream file(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages",
                                   directory.page_bytes / 1024));
    std::uint64_t pages = 0;
    file >> pages;
    return pages * directory.page_bytes;
  }
  struct statvfs facts {};
  if (::statvfs(directory.path.c_str(), &facts) != 0) return 0;
  return static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
}

std::string region_path(const RegionDirectory& directory, std::string_view instance) {
  return fmt::format("{}/{}{}", directory.path, kPrefix, instance);
}

std::string control_socket_path(std::string_view instance) {
  return fmt::format("/dev/shm/sluice-control.{}", instance);
}

std::string_view instance_of_file(std::string_view file_name) {
  if (!file_name.starts_with(kPrefix)) return {};
  const std::string_view instance = file_name.substr(kPrefix.size());
  return is_valid_instance_name(instance) ? instance : std::string_view{};
}

bool try_lock(int fd) {
  struct flock lock = whole_file();
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool is_locked(int fd) {
  struct flock lock = whole_file();
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace sluice::telemetry
