// sluice-httpd: a small HTTP/1.1 server: files, /bytes/N, /sink.

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "connection.hpp"

int main(int argc, char** argv) {
  const sluice::ProgramInfo info{
      .name = "sluice-httpd",
      .summary = "HTTP/1.1 server: files, GET /bytes/N, PUT or POST /sink",
      .default_ports = {sluice::Port{80}},
      .options = {
          {"root", "Directory to serve, read into memory at the start (at most 1 GiB)", ""}}};
  return sluice::run_program(argc, argv, info, [](sluice::Runtime& runtime) {
    std::unique_ptr<const httpd::Content> content;
    try {
      content = std::make_unique<const httpd::Content>(runtime.option("root"));
    } catch (const std::exception& error) {
      throw sluice::SetupError(error.what(), 1);
    }
    fmt::print(stderr, "sluice-httpd: {} paths in memory\n", content->files());
    for (const sluice::Port port : runtime.listen_ports())
      runtime.listen<httpd::Connection>({.port = port}, content.get());
    return runtime.run();
  });
}
