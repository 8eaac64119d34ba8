#include "worker_context.hpp"

#include "connection.hpp"

namespace httpd {
namespace {

// Of a worker. A head in pieces is 16 KiB of memory if it is long, one page if it is short.
constexpr std::uint32_t kPartialHeads = 1024;
constexpr std::uint32_t kUploads = 4096;
constexpr std::uint32_t kPages = 4;
constexpr std::int64_t kSecond = 1'000'000'000;

}  // namespace

bool Batch::add(const Answer& answer, const HttpDate& date, std::size_t request_end) {
  const std::uint64_t body = answer.body_octets();
  if (body > kMaxBody || count_ == kMaxAnswers) return false;
  if (octets_.size() - used_ < kMaxHeadOctets + body) return false;
  used_ += write_head(answer, date, octets_.data() + used_);
  copy_body(answer, 0, {octets_.data() + used_, static_cast<std::size_t>(body)});
  used_ += body;
  entries_[count_++] = {answer, request_end, used_};
  return true;
}

WorkerContext::WorkerContext(const Options& options, Stats& stats,
                             const std::vector<std::unique_ptr<Stats>>& all)
    : options_(options),
      stats_(stats),
      all_stats_(all),
      heads_(kPartialHeads),
      uploads_(kUploads),
      pages_(kPages) {}

PartialHead& WorkerContext::take_head(Connection& owner, sluice::Stream stream) {
  PartialHead* head = heads_.take();
  if (head == nullptr) {
    // Who sends heads in pieces and slowly must not keep others from sending theirs.
    stats_.evicted_heads.add();
    oldest_->owner->give_up_waiting(oldest_->stream);
    head = heads_.take();
  }
  head->owner = &owner;
  head->stream = stream;
  head->older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = head;
  newest_ = head;
  return *head;
}

void WorkerContext::give_head(PartialHead& head) {
  (head.older != nullptr ? head.older->newer : oldest_) = head.newer;
  (head.newer != nullptr ? head.newer->older : newest_) = head.older;
  heads_.give(&head);
}

std::int64_t WorkerContext::seconds(sluice::Instant now) {
  if (now >= next_second_) {
    const std::int64_t wall =
        options_.clocks.wall_ns != nullptr ? options_.clocks.wall_ns() : now.ns();
    seconds_ = wall / kSecond;
    date_ = format_date(seconds_);
    next_second_ = now + sluice::Duration::from_ns(kSecond - wall % kSecond);
  }
  return seconds_;
}

void WorkerContext::note_answered(std::uint32_t count, sluice::Instant arrived,
                                  sluice::Instant now) {
  if (until_sample_ > count) {
    until_sample_ -= count;
    return;
  }
  until_sample_ = kSampleEvery;
  if (options_.clocks.monotonic != nullptr) now = options_.clocks.monotonic();
  stats_.latency.record(now - arrived);
}

}  // namespace httpd
