#pragma once

// Where state regions lie as files, and the lock that says whether their owner lives. Private to
// this folder.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::telemetry {

/// A directory that can hold regions.
struct RegionDirectory {
  std::string path;
  std::uint64_t page_bytes = 4096;  ///< Files are a multiple of this.
  bool is_huge = false;
};

/// The hugetlbfs mounts, then /dev/shm, where a region is looked for and where it is made.
std::vector<RegionDirectory> region_directories();
/// Octets that can be allocated in `directory` now.
std::uint64_t free_bytes_in(const RegionDirectory& directory);

/// `<directory>/sluice.<instance>`
std::string region_path(const RegionDirectory& directory, std::string_view instance);
/// The instance of a file name; empty if it is no region's name.
std::string_view instance_of_file(std::string_view file_name);

/// Open file description locks: they belong to the open file, end with the process however it ends,
/// and can be looked for without being taken, so that a reader never disturbs a starter.
bool try_lock(int fd);
bool is_locked(int fd);

}  // namespace sluice::telemetry
