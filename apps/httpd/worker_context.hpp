#pragma once

// What the connections of one worker share: counts, scratch space, blocks for what does not fit a
// connection, the date. All of it is made before the loops start; nothing of it is shared between
// workers but the counts, which any may read.

#include <sodium.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "answer.hpp"
#include "chunked.hpp"
#include "latency.hpp"
#include "request_parser.hpp"
#include "routes.hpp"
#include "sluice/sluice.hpp"

namespace httpd {

class Connection;

/// One worker's figures: it alone writes them.
struct alignas(64) Stats {
  Count accepted;  ///< Connections; open ones are accepted less closed.
  Count closed;
  Count keep_alive;     ///< Requests that were not the first of their connection.
  Count batches;        ///< Sends of one answer or several together.
  Count short_writes;   ///< Times that an answer had to wait for the client to read.
  Count partial_heads;  ///< Heads that did not come in one piece.
  Count evicted_heads;  ///< Of these, given up for want of room.
  Count timed_out;      ///< Connections that were too slow, or idle for too long.
  Count octets;         ///< Sent, heads included.
  std::array<Count, kStatuses.size()> answers;  ///< As in kStatuses.
  LatencyHistogram latency;

  std::uint64_t requests() const {
    std::uint64_t sum = 0;
    for (const Count& count : answers) sum += count.get();
    return sum;
  }
};

/// What is read besides Worker::now(); empty in tests.
struct Clocks {
  sluice::Instant (*monotonic)() = nullptr;  ///< The one that Worker::now() is of.
  std::int64_t (*wall_ns)() = nullptr;       ///< Nanoseconds since 1970.
};

struct Options {
  Site site;
  /// How long a client may be idle, take for a head, or stay silent within a body.
  sluice::Duration patience = sluice::Duration::infinite();
  Clocks clocks = {};
};

/// Blocks for a few of many; taken and given back in constant time, in memory reserved beforehand
/// and touched at first use.
template <class Block>
class Pool {
 public:
  explicit Pool(std::uint32_t count)
      : blocks_(std::make_unique_for_overwrite<Room[]>(count)), count_(count) {
    free_.reserve(count);
  }
  /// Null if all are out.
  Block* take() {
    if (!free_.empty()) {
      void* const room = free_.back();
      free_.pop_back();
      return ::new (room) Block;
    }
    return touched_ == count_ ? nullptr : ::new (&blocks_[touched_++]) Block;
  }
  void give(Block* block) { free_.push_back(block); }
  std::size_t in_use() const { return touched_ - free_.size(); }

 private:
  struct Room {
    alignas(Block) std::byte octets[sizeof(Block)];
  };
  std::unique_ptr<Room[]> blocks_;
  std::uint32_t count_;
  std::uint32_t touched_ = 0;
  std::vector<Block*> free_;
};

/// A head that came in pieces, as far as it has come.
struct PartialHead {
  RequestParser parser;
  std::uint32_t octets = 0;
  Connection* owner = nullptr;
  sluice::Stream stream;
  PartialHead* older = nullptr;
  PartialHead* newer = nullptr;
  std::array<char, RequestParser::kMaxHead> text;
};

/// A body on its way to /sink, and the answer to it.
struct Upload {
  bool is_chunked = false;
  std::uint64_t expected = 0;  ///< Octets; unknown of chunks.
  std::uint64_t received = 0;
  Answer answer;
  ChunkedDecoder chunks;
  crypto_hash_sha256_state hash;
  std::array<char, 96> text;
};

/// The status page of one request. A worker's lines take less than 1 KiB.
struct Page {
  std::array<char, std::size_t{128} * 1024> text;
};

/// Answers that go out in one send().
class Batch {
 public:
  static constexpr std::size_t kMaxAnswers = 64;
  static constexpr std::size_t kMaxBody = 8192;  ///< Longer bodies are sent from where they lie.
  struct Entry {
    Answer answer;
    std::size_t request_end;  ///< Octets of the run at hand up to the end of the request.
    std::size_t answer_end;   ///< Octets of the batch up to the end of the answer.
  };

  /// False if it does not fit, and nothing was added.
  bool add(const Answer& answer, const HttpDate& date, std::size_t request_end);
  void clear() { used_ = count_ = 0; }
  bool is_empty() const { return count_ == 0; }
  /// The connection ends after the last answer.
  bool is_closing() const { return count_ > 0 && !entries_[count_ - 1].answer.keep_alive; }
  std::string_view octets() const { return {octets_.data(), used_}; }
  std::span<const Entry> entries() const { return {entries_.data(), count_}; }

 private:
  std::size_t used_ = 0;
  std::size_t count_ = 0;
  std::array<Entry, kMaxAnswers> entries_;
  std::array<char, std::size_t{64} * 1024> octets_;
};

class WorkerContext {
 public:
  /// `options` and `stats`, which are all workers', are borrowed.
  WorkerContext(const Options& options, Stats& stats,
                const std::vector<std::unique_ptr<Stats>>& all);

  const Options& options() const { return options_; }
  Stats& stats() { return stats_; }
  const std::vector<std::unique_ptr<Stats>>& all_stats() const { return all_stats_; }
  Batch& batch() { return batch_; }
  Pool<Upload>& uploads() { return uploads_; }
  Pool<Page>& pages() { return pages_; }

  /// A block for the head of `owner`; if all are out the oldest loses its own.
  PartialHead& take_head(Connection& owner, sluice::Stream stream);
  void give_head(PartialHead& head);

  /// Seconds since 1970 at `now`; the clock is read once a second.
  std::int64_t seconds(sluice::Instant now);
  /// In words: at no cost for the second at hand.
  HttpDate date_of(std::int64_t seconds) const {
    return seconds == seconds_ ? date_ : format_date(seconds);
  }

  /// `count` answers were handed over at `now`, to requests that had arrived at `arrived`. Every
  /// 17th is looked at with the clock; the rest cost an addition.
  void note_answered(std::uint32_t count, sluice::Instant arrived, sluice::Instant now);

 private:
  static constexpr std::uint64_t kSampleEvery = 17;  // no power of two: batches have those

  const Options& options_;
  Stats& stats_;
  const std::vector<std::unique_ptr<Stats>>& all_stats_;
  Pool<PartialHead> heads_;
  Pool<Upload> uploads_;
  Pool<Page> pages_;
  PartialHead* oldest_ = nullptr;
  PartialHead* newest_ = nullptr;
  std::int64_t seconds_ = -1;
  sluice::Instant next_second_;
  HttpDate date_{};
  std::uint64_t until_sample_ = kSampleEvery;
  Batch batch_;
};

}  // namespace httpd
