#pragma once

namespace sluice::support {

/// Starts EAL for a test process: unprivileged, no hugepages, no PCI, nothing shared, one lcore.
/// Once a process (EAL cannot be started again); ends the process with one line if it fails.
void start_eal();

}  // namespace sluice::support
