#pragma once

#include <catch2/catch.hpp>

#include "tests/support/mbuf_pool.hpp"

namespace sluice::support {

/// Fails the test if an mbuf has leaked. Call it last, when all owners are gone.
inline void require_pools_full(const TestPools& pools) {
  INFO("out of receive pool: " << rte_mempool_in_use_count(&pools.receive())
                               << ", control: " << rte_mempool_in_use_count(&pools.control())
                               << ", indirect: " << rte_mempool_in_use_count(&pools.indirect()));
  REQUIRE(pools.mbufs_out() == 0);
}

}  // namespace sluice::support
