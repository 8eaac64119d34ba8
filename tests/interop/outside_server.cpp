// A server outside the tree: answers each connection with a line, and closes when the peer does.

#include <sluice/sluice.hpp>

class Greeter final : public sluice::StreamHandler {
 public:
  void on_open(sluice::Stream stream) override {
    if (!stream.send("hello from outside\n")) static_cast<void>(stream.abort());
  }
};

int main(int argc, char** argv) {
  const sluice::ProgramInfo info{.name = "outside-server",
                                 .summary = "Greets",
                                 .default_ports = {sluice::Port{2000}},
                                 .options = {}};
  return sluice::run_program(argc, argv, info, [](sluice::Runtime& runtime) {
    for (const sluice::Port port : runtime.listen_ports()) runtime.listen<Greeter>({.port = port});
    return runtime.run();
  });
}
