#include "answer.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace httpd {
namespace {

struct Line {
  std::uint16_t status;
  std::string_view line;  ///< Status and reason, and what a short body says.
};

constexpr std::array<Line, kStatuses.size()> kLines = {
    {{200, "200 OK\n"},
     {204, "204 No Content\n"},
     {206, "206 Partial Content\n"},
     {304, "304 Not Modified\n"},
     {400, "400 Bad Request\n"},
     {404, "404 Not Found\n"},
     {405, "405 Method Not Allowed\n"},
     {408, "408 Request Timeout\n"},
     {413, "413 Content Too Large\n"},
     {414, "414 URI Too Long\n"},
     {416, "416 Range Not Satisfiable\n"},
     {417, "417 Expectation Failed\n"},
     {431, "431 Request Header Fields Too Large\n"},
     {500, "500 Internal Server Error\n"},
     {501, "501 Not Implemented\n"},
     {503, "503 Service Unavailable\n"},
     {505, "505 HTTP Version Not Supported\n"},
     {0, "500 Internal Server Error\n"}}};
static_assert(std::equal(kLines.begin(), kLines.end(), kStatuses.begin(),
                         [](const Line& line, std::uint16_t status) {
                           return line.status == status;
                         }));

/// Appends to a head.
class Writer {
 public:
  explicit Writer(char* out) : begin_(out), at_(out) {}
  Writer& operator<<(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Writer& operator<<(std::uint64_t number) {
    at_ = std::to_chars(at_, at_ + 20, number).ptr;
    return *this;
  }
  std::size_t octets() const { return static_cast<std::size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
};

}  // namespace

std::size_t status_index(std::uint16_t status) {
  if (status == 200) return 0;
  const auto found = std::find(kStatuses.begin(), kStatuses.end() - 1, status);
  return static_cast<std::size_t>(found - kStatuses.begin());
}

std::string_view status_line(std::uint16_t status) {
  const std::string_view line = kLines[status_index(status)].line;
  return line.substr(0, line.size() - 1);
}

Answer canned_answer(std::uint16_t status) {
  const std::string_view text = kLines[status_index(status)].line;
  Answer answer;
  answer.status = status;
  answer.fields = kTextFields;
  answer.body = std::as_bytes(std::span(text));
  answer.length = text.size();
  return answer;
}

std::size_t write_head(const Answer& answer, const HttpDate& date, char* out) {
  Writer head(out);
  head << "HTTP/1.1 " << status_line(answer.status)
       << "\r\nServer: sluice\r\nDate: " << std::string_view(date.data(), date.size()) << "\r\n"
       << answer.fields;
  //= rfc9110#8.6  no Content-Length in a 204, and in a 304 only that of the 200 it stands for
  if (answer.status != 204 && answer.status != 304)
    head << "Content-Length: " << answer.length << "\r\n";
  if (answer.status == 206)
    head << "Content-Range: bytes " << answer.offset << "-" << answer.offset + answer.length - 1
         << "/" << answer.total << "\r\n";
  if (answer.status == 416) head << "Content-Range: bytes */" << answer.total << "\r\n";
  //= rfc9112#9.6  the last answer says so; staying is what HTTP/1.1 takes for granted (9.3)
  if (!answer.keep_alive)
    head << "Connection: close\r\n\r\n";
  else if (answer.is_http_1_0)
    head << "Connection: keep-alive\r\n\r\n";
  else
    head << "\r\n";
  return head.octets();
}

std::span<const std::byte> body_run(const Answer& answer, std::uint64_t from) {
  const std::uint64_t at = answer.offset + from;
  const std::size_t begin = at < answer.body.size() ? at : at % answer.body.size();
  return answer.body.subspan(
      begin, std::min<std::uint64_t>(answer.body.size() - begin, answer.length - from));
}

void copy_body(const Answer& answer, std::uint64_t from, std::span<char> out) {
  while (!out.empty()) {
    const auto run = body_run(answer, from);
    const std::size_t length = std::min(run.size(), out.size());
    std::memcpy(out.data(), run.data(), length);
    out = out.subspan(length);
    from += length;
  }
}

}  // namespace httpd
