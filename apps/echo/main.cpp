// sluice-echo: gives back what it is sent (RFC 862).

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>

#include "sluice/sluice.hpp"

namespace {

class Echo final : public sluice::StreamHandler {
 public:
  explicit Echo(std::uint64_t close_after) : close_after_(close_after) {}

  void on_data(sluice::Stream stream, sluice::RxData& data) override {
    const auto sent = stream.send(data);  // no copy; what does not fit is offered again
    if (!sent) return;
    echoed_ += *sent;
    if (close_after_ != 0 && echoed_ >= close_after_) stream.close();
  }

 private:
  std::uint64_t close_after_;
  std::uint64_t echoed_ = 0;
};

std::uint64_t parse_count(const std::string& text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size())
    throw sluice::SetupError(
        fmt::format("--close-after {}: expected a number of octets, 0 or more", text), 2);
  return count;
}

bool parse_yes_no(const std::string& text) {
  if (text != "yes" && text != "no")
    throw sluice::SetupError(fmt::format("--trace {}: expected yes or no", text), 2);
  return text == "yes";
}

}  // namespace

int main(int argc, char** argv) {
  const sluice::ProgramInfo info{
      .name = "sluice-echo",
      .summary = "TCP echo server (RFC 862)",
      .default_ports = {sluice::Port{7}},
      .options = {{"close-after", "Close first, after echoing so many octets; 0: never", "0"},
                  {"trace", "Record every segment for 'sluicectl trace': yes or no", "no"}}};
  return sluice::run_program(argc, argv, info, [](sluice::Runtime& runtime) {
    const std::uint64_t close_after = parse_count(runtime.option("close-after"));
    const bool trace = parse_yes_no(runtime.option("trace"));
    for (const sluice::Port port : runtime.listen_ports())
      runtime.listen<Echo>({.port = port, .trace = trace}, close_after);
    return runtime.run();
  });
}
