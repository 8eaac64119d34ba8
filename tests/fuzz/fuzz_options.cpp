// TCP options. The first octet of an input chooses: a header of chosen options is written and must
// read back the same; an option list is read and must mean what a second, simpler reader makes of
// it; or both ends of a connection of the engine: options of the peer's SYN, SACK blocks about what
// is in flight, other lists in between, and the engine's own options in reply.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tcp/handshake/established.hpp"
#include "tcp/invariants.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tests/fuzz/exact_block.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/option_lists.hpp"
#include "tests/support/eal.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/tcp_rig.hpp"

namespace {

using namespace sluice;
using fuzz::append_option;
using fuzz::append_u32;
using fuzz::are_same;
using fuzz::ExactBlock;
using fuzz::Input;
using fuzz::make_list;
using fuzz::read_plainly;
using fuzz::segment_of;
using support::Octets;
using wire::SackBlock;
using wire::SeqNum;
using wire::TcpOptions;

#ifdef SLUICE_FUZZ_CANARY
/// The fault that the fuzzer must find: as many SACK blocks as the length octet says.
void read_blocks_carelessly(std::span<const std::byte> list) {
  for (std::size_t at = 0; at + 1 < list.size();) {
    const auto kind = std::to_integer<unsigned>(list[at]);
    const std::size_t length = kind < 2 ? 1 : std::to_integer<std::size_t>(list[at + 1]);
    if (length == 0) return;
    if (kind == 5)
      for (std::size_t i = 2; i < length; ++i)
        static_cast<void>(*const_cast<const volatile std::byte*>(list.data() + at + i));
    at += length;
  }
}
#endif

// --- lists ---

void read_list(Input& input) {
  const Octets list = make_list(input);
  const ExactBlock block(segment_of({}, {}, list, {}));
  wire::TcpHeader header;
  const auto result = wire::parse_tcp(block.view(), header);
  SLUICE_ASSERT(result.ok && header.header_length == wire::kTcpMinHeader + list.size());
#ifdef SLUICE_FUZZ_CANARY
  read_blocks_carelessly(block.view().subspan(wire::kTcpMinHeader));
#endif
  TcpOptions expected;
  const bool is_well_formed = read_plainly(list, expected);
  SLUICE_ASSERT(result.malformed_options == !is_well_formed);
  SLUICE_ASSERT(are_same(header.options, expected));
}

/// What emit_tcp() writes parse_tcp() reads back equal, but for SACK blocks that do not fit.
void write_and_read(Input& input) {
  wire::TcpHeader header;
  header.source = Port{static_cast<std::uint16_t>(input.u32())};
  header.destination = Port{static_cast<std::uint16_t>(input.u32())};
  header.seq = SeqNum(input.u32());
  header.ack = SeqNum(input.u32());
  header.flags = input.u8();
  header.window = static_cast<std::uint16_t>(input.u32());
  header.urgent_pointer = static_cast<std::uint16_t>(input.u32());
  const std::uint8_t which = input.u8();
  TcpOptions& options = header.options;
  options.has_mss = (which & 1) != 0;
  options.has_window_scale = (which & 2) != 0;
  options.has_sack_permitted = (which & 4) != 0;
  options.has_timestamps = (which & 8) != 0;
  if (options.has_mss) options.mss = static_cast<std::uint16_t>(input.u32());
  if (options.has_window_scale) options.window_scale = input.u8();
  if (options.has_timestamps) options.ts_val = input.u32();
  if (options.has_timestamps) options.ts_ecr = input.u32();
  options.sack_count = static_cast<std::uint8_t>((which >> 4) % (wire::kMaxSackBlocks + 1));
  for (std::size_t i = 0; i < options.sack_count; ++i)
    options.sack[i] = {SeqNum(input.u32()), SeqNum(input.u32())};

  const std::size_t length = wire::tcp_header_length(header);
  SLUICE_ASSERT(length <= wire::kTcpMaxHeader && length % 4 == 0);
  ExactBlock out{Octets(length)};
  SLUICE_ASSERT(wire::emit_tcp(header, out.view()) == length);
  wire::TcpHeader again;
  const auto result = wire::parse_tcp(out.view(), again);
  SLUICE_ASSERT(result.ok && !result.malformed_options && again.header_length == length);
  SLUICE_ASSERT(again.source == header.source && again.destination == header.destination);
  SLUICE_ASSERT(again.seq == header.seq && again.ack == header.ack && again.flags == header.flags);
  SLUICE_ASSERT(again.window == header.window && again.urgent_pointer == header.urgent_pointer);
  SLUICE_ASSERT(again.options.sack_count <= options.sack_count);
  if (again.options.sack_count < options.sack_count)  // another block would not have fitted
    SLUICE_ASSERT(length + (again.options.sack_count == 0 ? 12 : 8) > wire::kTcpMaxHeader);
  options.sack_count = again.options.sack_count;
  SLUICE_ASSERT(are_same(again.options, options));
}

// --- the engine ---

/// True if every octet of [left, right) lies in one of `blocks`.
bool is_covered(SeqNum left, SeqNum right, const std::vector<SackBlock>& blocks) {
  while (wire::seq_lt(left, right)) {
    const auto at = std::find_if(blocks.begin(), blocks.end(), [&](const SackBlock& block) {
      return wire::seq_leq(block.left, left) && wire::seq_gt(block.right, left);
    });
    if (at == blocks.end()) return false;
    left = at->right;
  }
  return true;
}

/// One connection of a rig and its peer, who says of options what the input says.
class Conversation {
 public:
  Conversation(Input& input, const tcp::EngineConfig& config)
      : input_(input), rig_(config), is_active_(input.u8() & 1) {
    constexpr std::array<std::uint32_t, 4> kStarts = {1000, 0xfffffff0u, 0x7ffffff0u, 0};
    const std::uint8_t start = input.u8();
    seq_ = SeqNum(kStarts[start & 3]);
    has_ecn_ = (start & 4) != 0;
  }

  void run() {
    if (open()) {
      check_agreement();
      for (int steps = 0; steps < 60 && !input_.is_empty(); ++steps) step();
    }
    rig_.require_clean();
  }

 private:
  bool open();
  void check_agreement();
  void step();
  void judge();
  void acknowledge_with_sacks();
  void judge_scoreboard(const std::vector<SackBlock>& fresh);
  SackBlock choose_block();
  Octets own_options(const std::vector<SackBlock>& blocks) const;
  void give(std::uint8_t flags, SeqNum ack, const Octets& list, const Octets& payload = {});
  void give_data(std::uint8_t choice);
  tcp::Tcb* block() { return rig_.find(flow_); }

  Input& input_;
  support::TcpRig rig_;
  bool is_active_;
  bool has_ecn_ = false;  ///< The peer's SYN says so.
  tcp::FlowKey flow_{Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr::from_octets(10, 0, 0, 1),
                     Port{80}, Port{40000}};
  SeqNum seq_, una_;    ///< The peer's next octet, and what it acknowledges.
  TcpOptions offered_;  ///< What its SYN was understood to say.
  bool has_timestamps_ = false, has_sack_ = false, has_scale_ = false;  ///< Both agree.
  unsigned most_octets_ = 0;  ///< Of options and payload in a segment of the engine.
  std::uint32_t ts_val_ = 0, ts_ecr_ = 0;
  std::vector<SackBlock> said_;   ///< Blocks that were valid when the peer sent them.
  std::vector<SackBlock> given_;  ///< Octets that the engine has been given.
};

void Conversation::give(std::uint8_t flags, SeqNum ack, const Octets& list, const Octets& payload) {
  wire::TcpHeader header;
  header.seq = seq_;
  header.ack = ack;
  header.flags = flags;
  header.window = 60000;
  static_cast<void>(rig_.receive_octets(flow_, segment_of(flow_, header, list, payload),
                                        static_cast<std::uint8_t>(input_.u8() & 3)));
}

/// A SYN with any list of options, or the answer to the engine's, and what comes back.
bool Conversation::open() {
  tcp::Context& ctx = rig_.ctx();
  const Octets list = make_list(input_);
  static_cast<void>(read_plainly(list, offered_));
  ListenerHandle listener;
  if (is_active_) {
    SLUICE_ASSERT(tcp::open(ctx, {.remote = {flow_.remote, flow_.remote_port},
                                  .local = flow_.local,
                                  .local_port = flow_.local_port}));
    rig_.settle();
  } else {
    const auto made = tcp::listen(ctx, {.address = {}, .port = flow_.local_port});
    SLUICE_ASSERT(made);
    listener = *made;
    give(has_ecn_ ? wire::kSyn | wire::kEce | wire::kCwr : wire::kSyn, {}, list);
  }
  const auto sent = rig_.take_sent();
  SLUICE_ASSERT(sent.size() == 1 && sent[0].has(wire::kSyn) &&
                sent[0].has(wire::kAck) != is_active_);
  const tcp::EngineConfig& config = ctx.config;
  has_timestamps_ = config.timestamps && offered_.has_timestamps;
  has_sack_ = config.sack && offered_.has_sack_permitted;
  has_scale_ = config.window_scaling && offered_.has_window_scale;
  // A SYN offers what the config says, a SYN-ACK only that of it which the SYN had.
  const TcpOptions& answer = sent[0].header.options;
  SLUICE_ASSERT(answer.has_mss && answer.sack_count == 0);
  SLUICE_ASSERT(answer.has_timestamps == (is_active_ ? config.timestamps : has_timestamps_));
  SLUICE_ASSERT(answer.has_sack_permitted == (is_active_ ? config.sack : has_sack_));
  SLUICE_ASSERT(answer.has_window_scale == (is_active_ ? config.window_scaling : has_scale_));
  una_ = sent[0].end();
  ts_ecr_ = answer.ts_val;
  ts_val_ = offered_.ts_val;
  if (is_active_) give(wire::kSyn | wire::kAck | (has_ecn_ ? wire::kEce : 0), una_, list);
  seq_ += 1;
  if (!is_active_) {
    give(wire::kAck, una_, own_options({}));
    static_cast<void>(tcp::accept(ctx, listener));
  }
  const tcp::Tcb* const opened = block();
  // Only an echo of a timestamp that was never sent may keep an answer from being one.
  SLUICE_ASSERT(is_active_ || opened != nullptr);
  rig_.take_sent();
  return opened != nullptr && opened->state == tcp::State::kEstablished;
}

void Conversation::check_agreement() {
  const tcp::Tcb& opened = *block();
  SLUICE_ASSERT(
      tcp::check_tcb(rig_.ctx(), static_cast<std::uint32_t>(&opened - &rig_.ctx().tcb(0))));
  SLUICE_ASSERT(opened.has(tcp::kTimestampsOk) == has_timestamps_);
  SLUICE_ASSERT(opened.has(tcp::kSackOk) == has_sack_);
  SLUICE_ASSERT(opened.has(tcp::kWindowScaleOk) == has_scale_);
  const unsigned scale = std::min<unsigned>(offered_.window_scale, wire::kMaxWindowScale);
  SLUICE_ASSERT(opened.snd_wscale() == (has_scale_ ? scale : 0));
  const unsigned peer_mss = offered_.has_mss ? std::max<unsigned>(offered_.mss, 64) : 536;
  most_octets_ = std::min<unsigned>(peer_mss, rig_.path().mtu - 40u);
  if (rig_.ctx().config.max_mss != 0)
    most_octets_ = std::min<unsigned>(most_octets_, rig_.ctx().config.max_mss);
  SLUICE_ASSERT(opened.snd_mss == most_octets_ - (has_timestamps_ ? 12u : 0u));
}

/// The peer's usual options, and blocks.
Octets Conversation::own_options(const std::vector<SackBlock>& blocks) const {
  Octets list;
  if (has_timestamps_) {
    list = support::octets({1, 1, 8, 10});
    append_u32(list, ts_val_);
    append_u32(list, ts_ecr_);
  }
  if (blocks.empty()) return list;
  Octets edges;
  for (const SackBlock& sack : blocks) {
    append_u32(edges, sack.left.value());
    append_u32(edges, sack.right.value());
  }
  list.insert(list.end(), {std::byte{1}, std::byte{1}});
  append_option(list, 5, static_cast<std::uint8_t>(2 + edges.size()), edges);
  return list;
}

/// Of what is in flight as a rule; sometimes below it, beyond it, or the wrong way round.
SackBlock Conversation::choose_block() {
  const tcp::Tcb& now = *block();
  const std::uint32_t flight = wire::seq_distance(now.snd.una, now.snd.nxt);
  const std::uint8_t how = input_.u8(), from = input_.u8(), length = input_.u8();
  const std::uint32_t unit = (how & 1) != 0 ? now.snd_mss : std::max(flight / 64, 1u);
  const std::uint32_t left = (from % 64u) * unit;
  SackBlock made{now.snd.una + left, now.snd.una + left + (length % 64u + 1) * unit};
  switch (how >> 1 & 7) {
    case 0:
      return {made.left - flight, made.right - flight};  // old news, or a duplicate
    case 1:
      return {made.right, made.left};
    case 2:
      return {now.snd.una - length, now.snd.una + from};  // partly acknowledged
    case 3:
      return made;  // wherever it ends
    default:
      return {wire::seq_min(made.left, now.snd.nxt), wire::seq_min(made.right, now.snd.nxt)};
  }
}

void Conversation::acknowledge_with_sacks() {
  const tcp::Tcb* const before = block();
  const std::uint8_t how = input_.u8();
  const SeqNum una = before->snd.una, nxt = before->snd.nxt;
  const std::uint32_t flight = wire::seq_distance(una, nxt);
  SeqNum ack = una;
  if ((how & 0x0c) == 0x04) ack = una + std::min<std::uint32_t>(before->snd_mss, flight);
  if ((how & 0x0c) == 0x08) ack = una + flight * input_.u8() / 256;
  if ((how & 0x0c) == 0x0c) ack = nxt;
  const std::size_t room = has_timestamps_ ? 3 : 4;
  std::vector<SackBlock> blocks;
  for (std::size_t count = std::min<std::size_t>((how & 3) + 1u, room); count > 0; --count)
    blocks.push_back(choose_block());
  std::vector<SackBlock> fresh;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const bool is_valid = wire::seq_lt(blocks[i].left, blocks[i].right) &&
                          wire::seq_gt(blocks[i].left, ack) && wire::seq_leq(blocks[i].right, nxt);
    if (!is_valid) continue;
    said_.push_back(blocks[i]);
    if (i > 0) fresh.push_back(blocks[i]);  // the first may be read as a duplicate's report
  }
  // When runs are scarce what should be told apart is not, and what is sent next takes marks away.
  const auto& runs = rig_.ctx().runs.slab;
  const std::uint32_t reserve = rig_.ctx().config.max_in_flight;
  const bool had_runs = runs.capacity() - runs.used() >= reserve + 2 * blocks.size();
  // A list of any kind may have brought a timestamp from far ahead: the peer's own is old then.
  const bool is_old = has_timestamps_ && static_cast<std::int32_t>(ts_val_ - before->ts_recent) < 0;
  una_ = ack;
  give(wire::kAck | ((how & 0x10) ? wire::kEce : 0), ack, own_options(blocks));
  const bool has_runs = had_runs && runs.capacity() - runs.used() > reserve;
  if (ack != una || !has_sack_ || !has_runs || is_old) fresh.clear();
  judge_scoreboard(fresh);
}

/// What counts as SACKed the peer has said; the segments that it has just said count as SACKed.
void Conversation::judge_scoreboard(const std::vector<SackBlock>& fresh) {
  tcp::Tcb& now = *block();
  std::vector<SackBlock> marked;
  if (tcp::SendRecord* const record = rig_.ctx().send_record(now)) {
    tcp::SendSide side = rig_.ctx().send_side(now, *record);
    tcp::RexmitQueue queue(side);
    queue.for_each([&](std::uint32_t index) {
      if (queue[index].has(tcp::kRunSacked))
        marked.push_back({queue[index].left, queue[index].end()});
    });
  }
  SLUICE_ASSERT(has_sack_ || marked.empty());
  for (const SackBlock& run : marked) SLUICE_ASSERT(is_covered(run.left, run.right, said_));
  // Whole segments only: at each end a part of one may be left out.
  for (const SackBlock& sack : fresh)
    SLUICE_ASSERT(is_covered(sack.left + most_octets_, sack.right - most_octets_, marked));
}

/// In order, or behind a gap, or a part of it again.
void Conversation::give_data(std::uint8_t choice) {
  const SeqNum next = seq_;
  const std::uint32_t length = (choice & 0x0f) * 40u + 1;
  const std::uint32_t away = (choice >> 4 & 7) * 100u;
  seq_ = (choice & 0x80) != 0
             ? next - std::min(away, wire::seq_distance(given_.empty() ? next : given_.front().left,
                                                        next))
             : next + away;
  given_.push_back({seq_, seq_ + length});
  give(wire::kAck, una_, own_options({}), Octets(length));
  seq_ = block()->rcv.nxt;
}

/// Options of what the engine has sent: only what was agreed, and only what is so.
void Conversation::judge() {
  tcp::Tcb& now = *block();
  SLUICE_ASSERT(tcp::check_tcb(rig_.ctx(), static_cast<std::uint32_t>(&now - &rig_.ctx().tcb(0))));
  for (const support::SentSegment& segment : rig_.take_sent()) {
    const TcpOptions& options = segment.header.options;
    SLUICE_ASSERT(!options.has_mss && !options.has_window_scale && !options.has_sack_permitted);
    SLUICE_ASSERT(options.has_timestamps == has_timestamps_ || segment.has(wire::kRst));
    SLUICE_ASSERT(options.sack_count == 0 || has_sack_);
    //= rfc9293#3.7.1 MUST-16 test  options take their room from the payload
    SLUICE_ASSERT(segment.payload.empty() ||
                  segment.payload.size() + segment.options.size() <= most_octets_);
    for (std::size_t i = 0; i < options.sack_count; ++i) {
      SLUICE_ASSERT(wire::seq_lt(options.sack[i].left, options.sack[i].right));
      SLUICE_ASSERT(is_covered(options.sack[i].left, options.sack[i].right, given_));
    }
    if (options.has_timestamps) ts_ecr_ = options.ts_val;
  }
  static_cast<void>(rig_.take_told());
}

void Conversation::step() {
  const std::uint8_t choice = input_.u8();
  tcp::Tcb* const now = block();
  if (now == nullptr || now->state != tcp::State::kEstablished) return;
  tcp::Context& ctx = rig_.ctx();
  switch (choice & 7) {
    case 0:
    case 1: {
      const Octets octets = support::Octets((choice >> 3) * 500u + 1);
      const auto index = static_cast<std::uint32_t>(now - &ctx.tcb(0));
      static_cast<void>(tcp::send(ctx, tcp::handle_of(ctx, index), octets));
      rig_.settle();
      break;
    }
    case 2:
    case 3:
    case 4:
      acknowledge_with_sacks();
      break;
    case 5:
      give_data(input_.u8());
      break;
    case 6: {  // a list of any kind: SYN options where none belong, blocks that nobody checked
      const SackBlock everything{now->snd.una - (1u << 30), now->snd.nxt + 1};
      said_.push_back(everything);
      give(wire::kAck, una_, make_list(input_));
      break;
    }
    default: {
      constexpr std::array<std::int64_t, 4> kMs = {1, 20, 250, 3000};
      const std::int64_t ms = kMs[choice >> 3 & 3];
      rig_.run_for(Duration::from_ms(ms));
      ts_val_ += static_cast<std::uint32_t>(ms);
    }
  }
  if (block() != nullptr) judge();
}

tcp::EngineConfig make_config(std::uint8_t bits, std::uint8_t more) {
  tcp::EngineConfig config = support::TcpRig::small_config();
  config.timestamps = (bits & 1) == 0;
  config.sack = (bits & 2) == 0;
  config.window_scaling = (bits & 4) == 0;
  config.max_mss = (bits & 8) != 0 ? 100 : 0;
  config.congestion = static_cast<tcp::Algorithm>(bits >> 4 & 3);
  config.pacing = (bits & 0x40) != 0;
  constexpr std::array kModes = {tcp::EcnMode::kAccept, tcp::EcnMode::kOffer, tcp::EcnMode::kOff,
                                 tcp::EcnMode::kOffer};
  config.ecn = kModes[more & 3];
  config.initial_window_segments = (more & 4) != 0 ? 40 : 10;
  config.max_connections = config.max_half_open = config.max_in_flight = 4;
  config.recorder_events = 0;
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  support::start_eal();
  static_cast<void>(support::shared_pools());
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  Input input(std::span(data, count));
  switch (input.u8() & 3) {
    case 0:
      write_and_read(input);
      break;
    case 1:
      read_list(input);
      break;
    default: {
      const std::uint8_t bits = input.u8();
      const tcp::EngineConfig config = make_config(bits, input.u8());
      Conversation(input, config).run();
      SLUICE_ASSERT(support::shared_pools().mbufs_out() == 0);
    }
  }
  return 0;
}
