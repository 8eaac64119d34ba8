#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "tests/support/eal.hpp"

int main(int argc, char** argv) {
  Catch::Session session;
  if (const int status = session.applyCommandLine(argc, argv); status != 0) return status;
  const auto& config = session.configData();
  const bool is_listing =
      config.listTests || config.listTags || config.listTestNamesOnly || config.showHelp;
  if (!is_listing) sluice::support::start_eal();
  return session.run();
}
