#pragma once

// The neighbour table: next hop -> MAC address, with the packets that wait for one. Knows nothing
// of ARP's or NDP's formats: it says whom to ask, and is told the answers.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/keyed_hash.hpp"
#include "base/time.hpp"
#include "base/timer_wheel.hpp"
#include "link/neighbor_record.hpp"
#include "packet/packet.hpp"

namespace sluice::link {

/// A next hop of an interface.
struct NeighborKey {
  std::uint8_t interface = 0;
  IpAddr address;
  constexpr bool operator==(const NeighborKey&) const = default;
};

/// Why a packet goes to a neighbour.
enum class PacketCause : std::uint8_t {
  kConnection,
  kAnswer,  ///< To what came in: its sender, whose address may be forged, has proved nothing.
};

/// A packet on its way to a neighbour: it starts at the IP header and is ready for `port`, but for
/// the link header.
struct WaitingPacket {
  packet::PacketPtr packet;
  std::uint16_t port = 0;
  PacketCause cause = PacketCause::kConnection;
};

/// What the table wants done. Called from within its verbs; must not call the table back.
class NeighborSink {
 public:
  /// Ask for `neighbor`'s MAC; `to` is the broadcast address or, for a poll, the known one.
  virtual void on_solicit(const NeighborRecord& neighbor, const MacAddr& to, Instant now) = 0;
  /// Its MAC is known now: send `waiting`.
  virtual void on_resolved(const NeighborRecord& neighbor, WaitingPacket waiting, Instant now) = 0;
  /// It did not answer: `waiting` cannot be sent.
  virtual void on_unreachable(const NeighborRecord& neighbor, WaitingPacket waiting,
                              Instant now) = 0;

 protected:
  ~NeighborSink() = default;
};

/// What became of a packet given to NeighborTable::resolve.
enum class Resolution : std::uint8_t {
  kResolved,     ///< The packet is still the caller's: send it to `mac`.
  kQueued,       ///< It waits.
  kUnreachable,  ///< Still the caller's: the neighbour lately failed to answer.
  kTableFull,    ///< Still the caller's: no entry to be had, or too many packets wait in all.
};

/// One change that a read copy of the table must follow: the address's MAC, or zero if it has none.
struct NeighborChange {
  std::uint32_t generation = 0;  ///< Of the table, after the change.
  NeighborKey key;
  MacAddr mac;
};

/// One writer. Every operation is O(1); the storage is fixed when the table is made.
///
/// Answers to forged sources ask for neighbours that do not exist. A neighbour whom nothing but
/// answers asked for and who has not answered yet is *doubtful*. Such entries have at most a
/// quarter of the table, and answers at most half of the places to wait in; those that connections
/// asked for have what is free, and of a full table another quarter. Above it a new one takes the
/// place of the oldest only when that had `retry` for its answer, so that no flood asks faster.
/// Everybody else takes a doubtful one's place first. Requests may be forged, too: of a full table,
/// those whom nothing was sent to since they asked keep a quarter at most, and leave for anybody.
class NeighborTable {
 public:
  struct Options {
    Duration reachable = Duration::from_s(60);  ///< Then the entry is STALE.
    Duration stale = Duration::from_s(600);     ///< An unused STALE entry is forgotten.
    Duration retry = Duration::from_s(1);       ///< Between requests (RFC 1122 2.3.2.1: 1 s).
    std::uint8_t probes = 3;                    ///< Requests by broadcast, and polls by unicast.
    std::uint32_t queue_packets = 8;            ///< Waiting for one neighbour.
    std::uint32_t pending_total = 256;          ///< Waiting for all of them.
  };
  static constexpr std::uint16_t kNone = 0xffff;
  static constexpr std::uint32_t kMaxRecords = kNone;
  static constexpr std::uint32_t kChangeLog = 64;  ///< Changes kept for readers.

  /// `records` (at most kMaxRecords, in the region) become the table; `key` hashes addresses, which
  /// neighbours choose.
  NeighborTable(std::span<NeighborRecord> records, const Options& options, const HashKey& key,
                Instant now);
  ~NeighborTable() = default;  ///< Frees the waiting packets.
  NeighborTable(const NeighborTable&) = delete;
  NeighborTable& operator=(const NeighborTable&) = delete;

  /// The way for one packet. On kResolved `slot` names the entry for use(); `waiting` is taken only
  /// on kQueued. A full queue of one neighbour gives up its oldest packet (RFC 1122 2.3.2.2: keep
  /// the latest), which is freed and told by `dropped`.
  struct Answer {
    Resolution resolution = Resolution::kTableFull;
    MacAddr mac;
    std::uint16_t slot = kNone;
    std::uint16_t dropped = 0;  ///< Older packets freed to make room: 0 or 1.
  };
  Answer resolve(const NeighborKey& key, WaitingPacket& waiting, NeighborSink& sink, Instant now);

  /// The fast way for an entry that an earlier resolve() gave while generation_of_slots() was what
  /// it is now. False: the entry's MAC is not known (any more), or must be asked for: resolve().
  bool use(std::uint16_t slot, MacAddr& mac, Instant now) {
    const NeighborRecord& record = records_[slot];
    if (record.state != NeighborState::kReachable && record.state != NeighborState::kStatic &&
        record.state != NeighborState::kProbe)
      return false;
    mac = record.mac;
    touch(slot, now);
    return true;
  }

  // --- what the network says ---

  enum class Learnt : std::uint8_t {
    kYes,       ///< Entry made or refreshed, or a static one agreed with.
    kUnasked,   ///< Nobody asked: nothing changed.
    kPinned,    ///< Contradicts a static entry: nothing changed.
    kOtherMac,  ///< Contradicts an entry whose MAC is known: the MAC stays.
    kNoRoom,    ///< Table full of entries in use: nothing changed.
  };
  /// An answer: counts only if a request of ours to that MAC, or to all, is outstanding. One that
  /// contradicts has the known MAC polled now: if that is silent, everybody is asked.
  Learnt on_answer(const NeighborKey& key, const MacAddr& mac, NeighborSink& sink, Instant now);
  /// A request to us from `key` (RFC 826's merge): refreshes its entry or makes one, for we are
  /// about to answer. Makes room only at the cost of doubtful entries, of others that only asked,
  /// and of such as were unused for `reachable`. Contradiction: as in on_answer().
  Learnt on_request(const NeighborKey& key, const MacAddr& mac, NeighborSink& sink, Instant now);

  /// A claim that teaches nothing: kUnasked, or whom it contradicts, as in on_answer().
  Learnt on_claim(const NeighborKey& key, const MacAddr& mac, NeighborSink& sink, Instant now);

  /// Pins an entry. False if the table is full of static entries and such with packets waiting.
  bool add_static(const NeighborKey& key, const MacAddr& mac, NeighborSink& sink, Instant now);
  /// Removes an entry, a static one too. Waiting packets go to on_unreachable. False: no such.
  bool remove(const NeighborKey& key, NeighborSink& sink, Instant now);

  /// Goes by `next` from now on, but for its `pending_total`, which is a size. What is timed
  /// already is due when it was.
  void set_options(const Options& next) {
    const std::uint32_t pending_total = options_.pending_total;
    options_ = next;
    options_.pending_total = pending_total;
  }

  // --- time ---

  /// Sends due requests, ages entries, gives up on silent ones.
  void advance(Instant now, NeighborSink& sink);
  /// When advance() has something to do; never if nothing is timed.
  Instant next_deadline() const;

  // --- readers ---

  /// The entry of `key`, or null. Valid until the next verb.
  const NeighborRecord* find(const NeighborKey& key) const;
  const NeighborRecord& record(std::uint16_t slot) const { return records_[slot]; }
  /// Counts changes of address -> MAC. A read copy at generation g asks change_after(g) until it
  /// has caught up.
  std::uint32_t generation() const { return generation_; }
  enum class LogRead : std::uint8_t {
    kChange,
    kUpToDate,
    kLost
  };  ///< kLost: copy the whole table.
  LogRead change_after(std::uint32_t generation, NeighborChange& change) const;
  /// Counts slots given up: a slot number is good only while this stays the same.
  std::uint32_t generation_of_slots() const { return slot_generation_; }
  std::uint32_t size() const { return size_; }
  std::uint32_t capacity() const { return static_cast<std::uint32_t>(records_.size()); }
  std::uint32_t waiting() const { return waiting_; }

 private:
  static constexpr std::uint32_t kNil = 0xffffffffu;
  static constexpr Duration kTouchGrain = Duration::from_s(1);
  static constexpr std::uint32_t kAdvanceBudget = 4096;

  /// Which list an entry is on; static ones are on none.
  enum class List : std::uint8_t {
    kUsed,      ///< Answered once: by last use.
    kWanted,    ///< A connection asked for it, it has not answered yet: by age.
    kDoubtful,  ///< The same, but nothing besides answers asked.
    kAsking,    ///< It asked us, and nothing was sent to it yet: by age.
    kNone,
  };
  struct AgeList {
    std::uint16_t newest = kNone;
    std::uint16_t oldest = kNone;
    std::uint32_t count = 0;
  };
  /// For whom room is made.
  enum class Newcomer : std::uint8_t { kDoubtful, kWanted, kRequester, kStatic };

  /// The private half of an entry, at the same index.
  struct Slot {
    TimerNode timer;
    Instant used_at;
    Instant asked_at;                      ///< When its last request left, or it failed.
    Instant listed_at;                     ///< When it was put at its list's front.
    std::uint16_t next_in_bucket = kNone;  ///< Also the free list's link.
    std::uint16_t newer = kNone;           ///< On one of the lists; static entries are on none.
    std::uint16_t older = kNone;
    List list = List::kNone;
    std::uint32_t first_waiting = kNil;
    std::uint32_t last_waiting = kNil;
  };
  struct Waiting {
    WaitingPacket packet;
    std::uint32_t next = kNil;
  };
  struct Nodes {
    std::vector<Slot>* slots;
    TimerNode& operator()(std::uint32_t index) const { return (*slots)[index].timer; }
  };

  void touch(std::uint16_t slot, Instant now) {
    Slot& entry = slots_[slot];
    entry.used_at = now;
    if (entry.list == List::kAsking ||
        (entry.list == List::kUsed && entry.listed_at + kTouchGrain <= now))
      enlist(slot, List::kUsed, now);
  }
  std::uint32_t bucket_of(const NeighborKey& key) const;
  std::uint16_t lookup(const NeighborKey& key) const;
  std::uint16_t insert(const NeighborKey& key, Newcomer newcomer, NeighborSink& sink, Instant now);
  std::uint16_t victim(Newcomer newcomer, Instant now) const;
  std::uint16_t overdue(List list, Instant now) const;
  AgeList& list_of(List list) { return lists_[static_cast<std::size_t>(list)]; }
  const AgeList& list_of(List list) const { return lists_[static_cast<std::size_t>(list)]; }
  /// How many entries that proved nothing may be on each list, and answers may wait.
  std::uint32_t most_unproved() const { return (capacity() + 3) / 4; }
  std::uint32_t most_answers_waiting() const { return (options_.pending_total + 1) / 2; }
  Learnt compare(std::uint16_t slot, const MacAddr& mac) const;
  bool is_asking_all(std::uint16_t slot) const;
  void poll(std::uint16_t slot, NeighborSink& sink, Instant now);
  void erase(std::uint16_t slot);
  void enlist(std::uint16_t slot, List list, Instant now);
  void unlist(std::uint16_t slot);
  void set_state(std::uint16_t slot, NeighborState state, Instant now);
  void set_mac(std::uint16_t slot, const MacAddr& mac);
  void fail(std::uint16_t slot, NeighborSink& sink, Instant now);
  void solicit(std::uint16_t slot, NeighborSink& sink, Instant now);
  void flush_waiting(std::uint16_t slot, NeighborSink& sink, Instant now);
  void confirm(std::uint16_t slot, const MacAddr& mac, NeighborSink& sink, Instant now);
  void on_deadline(std::uint16_t slot, NeighborSink& sink, Instant now);
  void arm(std::uint16_t slot, Duration delay, Instant now);
  void give_up_waiting(std::uint16_t slot, NeighborSink& sink, Instant now);
  bool enqueue(std::uint16_t slot, WaitingPacket& waiting, Answer& answer);
  WaitingPacket dequeue(std::uint16_t slot);

  std::span<NeighborRecord> records_;
  Options options_;
  HashKey key_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> buckets_;
  std::vector<Waiting> pending_;
  std::uint32_t free_pending_ = kNil;
  std::uint16_t free_slot_ = kNone;
  std::array<AgeList, 4> lists_;
  std::uint32_t size_ = 0;
  std::uint32_t waiting_ = 0;
  std::uint32_t answers_waiting_ = 0;
  std::uint32_t generation_ = 0;
  std::uint32_t slot_generation_ = 0;
  std::vector<NeighborChange> log_;
  Instant now_;  ///< The latest time heard of.
  TimerWheel<Nodes> wheel_;
};

}  // namespace sluice::link
