#include <iostream>
#include <string>
#include <vector>

#include "apps/ctl/command.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int code = sluice::ctl::run_sluicectl(arguments, {.out = std::cout, .err = std::cerr});
  std::cout.flush();
  return std::cout ? code : 1;
}
