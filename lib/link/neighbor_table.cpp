#include "link/neighbor_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.hpp"

namespace sluice::link {

std::string_view to_string(NeighborState state) {
  switch (state) {
    case NeighborState::kFree:
      return "NONE";
    case NeighborState::kIncomplete:
      return "INCOMPLETE";
    case NeighborState::kReachable:
      return "REACHABLE";
    case NeighborState::kStale:
      return "STALE";
    case NeighborState::kProbe:
      return "PROBE";
    case NeighborState::kFailed:
      return "FAILED";
    case NeighborState::kStatic:
      return "STATIC";
  }
  return "?";
}

NeighborTable::NeighborTable(std::span<NeighborRecord> records, const Options& options,
                             const HashKey& key, Instant now)
    : records_(records),
      options_(options),
      key_(key),
      slots_(records.size()),
      buckets_(std::bit_ceil(2 * records.size()), kNone),
      pending_(options.pending_total),
      log_(kChangeLog),
      now_(now),
      wheel_(Nodes{&slots_}, tick_at(now)) {
  SLUICE_ASSERT(!records.empty() && records.size() <= kMaxRecords);
  for (std::size_t i = slots_.size(); i-- > 0;) {
    slots_[i].next_in_bucket = free_slot_;
    free_slot_ = static_cast<std::uint16_t>(i);
  }
  for (std::size_t i = pending_.size(); i-- > 0;) {
    pending_[i].next = free_pending_;
    free_pending_ = static_cast<std::uint32_t>(i);
  }
}

// --- the packet's way ---

NeighborTable::Answer NeighborTable::resolve(const NeighborKey& key, WaitingPacket& waiting,
                                             NeighborSink& sink, Instant now) {
  Answer answer;
  answer.slot = lookup(key);
  const bool is_wanted = waiting.cause == PacketCause::kConnection;
  if (answer.slot == kNone) {
    answer.slot = insert(key, is_wanted ? Newcomer::kWanted : Newcomer::kDoubtful, sink, now);
    if (answer.slot == kNone) return answer;
    set_state(answer.slot, NeighborState::kIncomplete, now);
    solicit(answer.slot, sink, now);
  } else if (is_wanted && slots_[answer.slot].list == List::kDoubtful) {
    enlist(answer.slot, List::kWanted, now);
  }
  touch(answer.slot, now);
  switch (records_[answer.slot].state) {
    case NeighborState::kStale:
      //= rfc1122#2.3.2.1
      set_state(answer.slot, NeighborState::kProbe, now);
      solicit(answer.slot, sink, now);
      [[fallthrough]];
    case NeighborState::kReachable:
    case NeighborState::kProbe:
    case NeighborState::kStatic:
      answer.resolution = Resolution::kResolved;
      answer.mac = records_[answer.slot].mac;
      break;
    case NeighborState::kIncomplete:
      if (enqueue(answer.slot, waiting, answer)) answer.resolution = Resolution::kQueued;
      break;
    case NeighborState::kFailed:
      answer.resolution = Resolution::kUnreachable;
      break;
    case NeighborState::kFree:
      SLUICE_ASSERT(false);
  }
  return answer;
}

bool NeighborTable::enqueue(std::uint16_t slot, WaitingPacket& waiting, Answer& answer) {
  NeighborRecord& record = records_[slot];
  //= rfc1122#2.3.2.2 SHOULD
  // The latest packet is kept: of a neighbour whose queue is full, or that has a packet to give
  // when all places are taken, the oldest goes. No answer takes the place of a connection's packet.
  const bool is_answer = waiting.cause == PacketCause::kAnswer;
  const bool is_full = record.queued >= options_.queue_packets || free_pending_ == kNil ||
                       (is_answer && answers_waiting_ >= most_answers_waiting());
  if (is_full) {
    if (record.queued == 0) return false;
    const WaitingPacket& oldest = pending_[slots_[slot].first_waiting].packet;
    if (is_answer && oldest.cause != PacketCause::kAnswer) return false;
    dequeue(slot).packet.reset();
    answer.dropped = 1;
  }
  answers_waiting_ += is_answer ? 1 : 0;
  const std::uint32_t index = free_pending_;
  free_pending_ = pending_[index].next;
  pending_[index].packet = std::move(waiting);
  pending_[index].next = kNil;
  Slot& entry = slots_[slot];
  (entry.first_waiting == kNil ? entry.first_waiting : pending_[entry.last_waiting].next) = index;
  entry.last_waiting = index;
  ++waiting_;
  record.version.begin_write();
  ++record.queued;
  record.version.end_write();
  return true;
}

WaitingPacket NeighborTable::dequeue(std::uint16_t slot) {
  Slot& entry = slots_[slot];
  const std::uint32_t index = entry.first_waiting;
  SLUICE_ASSERT(index != kNil);
  entry.first_waiting = pending_[index].next;
  if (entry.first_waiting == kNil) entry.last_waiting = kNil;
  pending_[index].next = free_pending_;
  free_pending_ = index;
  --waiting_;
  if (pending_[index].packet.cause == PacketCause::kAnswer) --answers_waiting_;
  NeighborRecord& record = records_[slot];
  record.version.begin_write();
  --record.queued;
  record.version.end_write();
  return std::move(pending_[index].packet);
}

void NeighborTable::flush_waiting(std::uint16_t slot, NeighborSink& sink, Instant now) {
  while (slots_[slot].first_waiting != kNil) sink.on_resolved(records_[slot], dequeue(slot), now);
}

void NeighborTable::give_up_waiting(std::uint16_t slot, NeighborSink& sink, Instant now) {
  while (slots_[slot].first_waiting != kNil)
    sink.on_unreachable(records_[slot], dequeue(slot), now);
}

// --- what the network says ---

NeighborTable::Learnt NeighborTable::on_answer(const NeighborKey& key, const MacAddr& mac,
                                               NeighborSink& sink, Instant now) {
  const std::uint16_t slot = lookup(key);
  if (slot == kNone) return Learnt::kUnasked;
  // A poll goes to the MAC that is known: none else has an answer to it.
  const bool is_polled = records_[slot].state == NeighborState::kProbe && records_[slot].mac == mac;
  if (!is_polled && !is_asking_all(slot)) return on_claim(key, mac, sink, now);
  confirm(slot, mac, sink, now);
  return Learnt::kYes;
}

NeighborTable::Learnt NeighborTable::on_request(const NeighborKey& key, const MacAddr& mac,
                                                NeighborSink& sink, Instant now) {
  const Learnt claim = on_claim(key, mac, sink, now);
  if (claim != Learnt::kUnasked) return claim;
  std::uint16_t slot = lookup(key);
  if (slot == kNone) slot = insert(key, Newcomer::kRequester, sink, now);
  if (slot == kNone) return Learnt::kNoRoom;
  if (records_[slot].state != NeighborState::kStatic) confirm(slot, mac, sink, now);
  return Learnt::kYes;
}

NeighborTable::Learnt NeighborTable::on_claim(const NeighborKey& key, const MacAddr& mac,
                                              NeighborSink& sink, Instant now) {
  const std::uint16_t slot = lookup(key);
  const Learnt claim = compare(slot, mac);
  if (claim == Learnt::kOtherMac) poll(slot, sink, now);
  return claim;
}

NeighborTable::Learnt NeighborTable::compare(std::uint16_t slot, const MacAddr& mac) const {
  if (slot == kNone || records_[slot].mac.is_zero() || records_[slot].mac == mac)
    return Learnt::kUnasked;
  return records_[slot].state == NeighborState::kStatic ? Learnt::kPinned : Learnt::kOtherMac;
}

/// A request of ours to all is outstanding: whoever answers is believed.
bool NeighborTable::is_asking_all(std::uint16_t slot) const {
  const NeighborRecord& record = records_[slot];
  return record.state == NeighborState::kIncomplete ||
         (record.state == NeighborState::kProbe && record.probes > options_.probes) ||
         (record.state == NeighborState::kFailed && record.probes > 0);
}

/// Asks the MAC that is known, but for one that has just answered. A stale one is asked when it is
/// used next.
void NeighborTable::poll(std::uint16_t slot, NeighborSink& sink, Instant now) {
  const NeighborRecord& record = records_[slot];
  if (record.state != NeighborState::kReachable ||
      Instant::from_ns(record.confirmed_at) + options_.retry > now)
    return;
  set_state(slot, NeighborState::kProbe, now);
  solicit(slot, sink, now);
}

void NeighborTable::confirm(std::uint16_t slot, const MacAddr& mac, NeighborSink& sink,
                            Instant now) {
  set_mac(slot, mac);
  set_state(slot, NeighborState::kReachable, now);
  NeighborRecord& record = records_[slot];
  record.version.begin_write();
  record.confirmed_at = now.ns();
  record.version.end_write();
  if (slots_[slot].list != List::kAsking && slots_[slot].list != List::kUsed)
    enlist(slot, List::kUsed, now);
  arm(slot, options_.reachable, now);
  flush_waiting(slot, sink, now);
}

bool NeighborTable::add_static(const NeighborKey& key, const MacAddr& mac, NeighborSink& sink,
                               Instant now) {
  std::uint16_t slot = lookup(key);
  if (slot == kNone) slot = insert(key, Newcomer::kStatic, sink, now);
  if (slot == kNone) return false;
  wheel_.cancel(slot);
  unlist(slot);
  set_mac(slot, mac);
  set_state(slot, NeighborState::kStatic, now);
  flush_waiting(slot, sink, now);
  return true;
}

bool NeighborTable::remove(const NeighborKey& key, NeighborSink& sink, Instant now) {
  const std::uint16_t slot = lookup(key);
  if (slot == kNone) return false;
  give_up_waiting(slot, sink, now);
  erase(slot);
  return true;
}

// --- time ---

void NeighborTable::advance(Instant now, NeighborSink& sink) {
  now_ = std::max(now_, now);
  wheel_.advance(tick_at(now), kAdvanceBudget, [&](std::uint32_t slot) {
    on_deadline(static_cast<std::uint16_t>(slot), sink, now);
  });
}

void NeighborTable::on_deadline(std::uint16_t slot, NeighborSink& sink, Instant now) {
  const std::uint8_t probes = records_[slot].probes;
  switch (records_[slot].state) {
    case NeighborState::kIncomplete:
      if (probes < options_.probes) return solicit(slot, sink, now);
      return fail(slot, sink, now);
    case NeighborState::kProbe:
      // Half of them by unicast, then everybody is asked: the address may have moved.
      if (probes < 2 * options_.probes) return solicit(slot, sink, now);
      return fail(slot, sink, now);
    case NeighborState::kReachable:
      set_state(slot, NeighborState::kStale, now);
      return arm(slot, options_.stale, now);
    case NeighborState::kFailed:
      // Who is still wanted is asked for on and on, while what is sent to it fails at once.
      if (slots_[slot].used_at > slots_[slot].asked_at && slots_[slot].list != List::kDoubtful) {
        set_state(slot, NeighborState::kFailed, now);
        return solicit(slot, sink, now);
      }
      return erase(slot);
    case NeighborState::kStale:
      return erase(slot);
    case NeighborState::kStatic:
    case NeighborState::kFree:
      SLUICE_ASSERT(false);
  }
}

void NeighborTable::fail(std::uint16_t slot, NeighborSink& sink, Instant now) {
  set_mac(slot, MacAddr{});
  set_state(slot, NeighborState::kFailed, now);
  slots_[slot].asked_at = now;
  arm(slot, options_.retry, now);
  give_up_waiting(slot, sink, now);
}

void NeighborTable::solicit(std::uint16_t slot, NeighborSink& sink, Instant now) {
  NeighborRecord& record = records_[slot];
  record.version.begin_write();
  ++record.probes;
  record.version.end_write();
  slots_[slot].asked_at = now;
  arm(slot, options_.retry, now);
  sink.on_solicit(record, is_asking_all(slot) ? MacAddr::broadcast() : record.mac, now);
}

void NeighborTable::arm(std::uint16_t slot, Duration delay, Instant now) {
  now_ = std::max(now_, now);
  wheel_.cancel(slot);
  wheel_.arm(slot, tick_after(now, delay));
}

Instant NeighborTable::next_deadline() const {
  Tick when;
  if (!wheel_.next_event(when)) return Instant::never();
  const std::int64_t tick_ns = kTickLength.ns();
  const auto ahead = static_cast<std::int32_t>(when - tick_at(now_));
  return Instant::from_ns((now_.ns() / tick_ns + ahead) * tick_ns);
}

// --- entries ---

std::uint32_t NeighborTable::bucket_of(const NeighborKey& key) const {
  std::array<std::byte, 17> octets;
  octets[0] = std::byte{key.interface};
  std::memcpy(octets.data() + 1, key.address.octets().data(), 16);
  return static_cast<std::uint32_t>(keyed_hash(key_, octets) & (buckets_.size() - 1));
}

std::uint16_t NeighborTable::lookup(const NeighborKey& key) const {
  std::uint16_t slot = buckets_[bucket_of(key)];
  while (slot != kNone &&
         (records_[slot].interface != key.interface || records_[slot].address != key.address))
    slot = slots_[slot].next_in_bucket;
  return slot;
}

const NeighborRecord* NeighborTable::find(const NeighborKey& key) const {
  const std::uint16_t slot = lookup(key);
  return slot == kNone ? nullptr : &records_[slot];
}

std::uint16_t NeighborTable::insert(const NeighborKey& key, Newcomer newcomer, NeighborSink& sink,
                                    Instant now) {
  const List list = newcomer == Newcomer::kDoubtful    ? List::kDoubtful
                    : newcomer == Newcomer::kWanted    ? List::kWanted
                    : newcomer == Newcomer::kRequester ? List::kAsking
                                                       : List::kUsed;
  const bool is_one_too_many = list == List::kDoubtful && list_of(list).count >= most_unproved();
  if (free_slot_ == kNone || is_one_too_many) {
    const std::uint16_t leaving = victim(newcomer, now);
    if (leaving == kNone) return kNone;
    give_up_waiting(leaving, sink, now);
    erase(leaving);
  }
  const std::uint16_t slot = free_slot_;
  Slot& entry = slots_[slot];
  free_slot_ = entry.next_in_bucket;
  std::uint16_t& bucket = buckets_[bucket_of(key)];
  entry.next_in_bucket = bucket;
  bucket = slot;
  ++size_;
  NeighborRecord& record = records_[slot];
  record.version.begin_write();
  record.interface = key.interface;
  record.address = key.address;
  record.version.end_write();
  entry.used_at = now;
  enlist(slot, list, now);
  return slot;
}

/// The oldest of a list of unanswered ones, once it had the time for an answer.
std::uint16_t NeighborTable::overdue(List list, Instant now) const {
  const std::uint16_t slot = list_of(list).oldest;
  return slot != kNone && slots_[slot].listed_at + options_.retry <= now ? slot : kNone;
}

/// Who makes room: a doubtful entry; one that was wanted, but had its time; the first that only
/// asked; the least recently used one without a packet waiting (at most `pending_total` have, which
/// bounds the walk).
std::uint16_t NeighborTable::victim(Newcomer newcomer, Instant now) const {
  const AgeList& doubtful = list_of(List::kDoubtful);
  const AgeList& asking = list_of(List::kAsking);
  if (newcomer == Newcomer::kRequester && asking.count >= most_unproved()) return asking.oldest;
  if (newcomer == Newcomer::kDoubtful) {
    const std::uint16_t late = overdue(List::kDoubtful, now);
    if (late != kNone || doubtful.count >= most_unproved()) return late;
  } else if (doubtful.oldest != kNone) {
    return doubtful.oldest;
  } else {
    const std::uint16_t late = overdue(List::kWanted, now);
    const bool is_one_too_many =
        newcomer == Newcomer::kWanted && list_of(List::kWanted).count >= most_unproved();
    if (late != kNone || is_one_too_many) return late;
  }
  if (asking.oldest != kNone) return asking.oldest;
  std::uint16_t slot = list_of(List::kUsed).oldest;
  while (slot != kNone && slots_[slot].first_waiting != kNil) slot = slots_[slot].newer;
  const bool is_certain = newcomer == Newcomer::kWanted || newcomer == Newcomer::kStatic;
  if (slot != kNone && !is_certain && slots_[slot].used_at + options_.reachable > now) return kNone;
  return slot;
}

void NeighborTable::erase(std::uint16_t slot) {
  SLUICE_ASSERT(slots_[slot].first_waiting == kNil);
  NeighborRecord& record = records_[slot];
  std::uint16_t* link = &buckets_[bucket_of({record.interface, record.address})];
  while (*link != slot) link = &slots_[*link].next_in_bucket;
  *link = slots_[slot].next_in_bucket;
  wheel_.cancel(slot);
  unlist(slot);
  set_mac(slot, MacAddr{});
  record.version.begin_write();
  renew_record(record);
  record.version.end_write();
  slots_[slot] = Slot{};
  slots_[slot].next_in_bucket = free_slot_;
  free_slot_ = slot;
  --size_;
  ++slot_generation_;
}

void NeighborTable::set_state(std::uint16_t slot, NeighborState state, Instant now) {
  NeighborRecord& record = records_[slot];
  record.version.begin_write();
  record.state = state;
  record.probes = 0;
  record.state_since = now.ns();
  record.version.end_write();
}

void NeighborTable::set_mac(std::uint16_t slot, const MacAddr& mac) {
  NeighborRecord& record = records_[slot];
  if (record.mac == mac) return;
  record.version.begin_write();
  record.mac = mac;
  record.version.end_write();
  ++generation_;
  log_[generation_ % kChangeLog] = {generation_, {record.interface, record.address}, mac};
}

NeighborTable::LogRead NeighborTable::change_after(std::uint32_t generation,
                                                   NeighborChange& change) const {
  const std::uint32_t behind = generation_ - generation;
  if (behind == 0) return LogRead::kUpToDate;
  if (behind > kChangeLog) return LogRead::kLost;
  change = log_[(generation + 1) % kChangeLog];
  return LogRead::kChange;
}

// --- lists: newest ... oldest ---

/// Puts the entry at the front of `list`, wherever it was.
void NeighborTable::enlist(std::uint16_t slot, List list, Instant now) {
  unlist(slot);
  Slot& entry = slots_[slot];
  AgeList& ages = list_of(list);
  entry.list = list;
  entry.listed_at = now;
  entry.older = ages.newest;
  (ages.newest == kNone ? ages.oldest : slots_[ages.newest].newer) = slot;
  ages.newest = slot;
  ++ages.count;
}

void NeighborTable::unlist(std::uint16_t slot) {
  Slot& entry = slots_[slot];
  if (entry.list == List::kNone) return;
  AgeList& ages = list_of(entry.list);
  (entry.newer == kNone ? ages.newest : slots_[entry.newer].older) = entry.older;
  (entry.older == kNone ? ages.oldest : slots_[entry.older].newer) = entry.newer;
  entry.newer = entry.older = kNone;
  entry.list = List::kNone;
  --ages.count;
}

}  // namespace sluice::link
