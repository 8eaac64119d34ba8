"""Our sender beside the kernel's on one path of 100 Mbit/s that loses, reorders or duplicates: pairs of transfers within one run."""

import statistics

from cases.transfer import page_bytes
from lab import expect
from path import TOOLS, Path, kernel_counters, kernel_line, our_line, tell
from registry import case

PAIRS = 7  # However they turn out: a run that goes on while it does not like its result finds what it wants.
LEAST_RATIO = 0.9


class Pairs:
    """Transfers from both servers in turn, and what their counters say of them. The two of a pair see the same machine, and the
    same load on it."""

    def __init__(self, path, count):
        self.path, self.count, self.seconds = path, count, {"ours": [], "kernel": []}
        self.before, self.kernel_before = path.server.stats(), kernel_counters(path.lab, path.kernel)
        self.transfer()
        self.after, self.kernel_after = path.server.stats(), kernel_counters(path.lab, path.kernel)

    def transfer(self):
        for pair in range(PAIRS):
            for end in ("ours", "kernel") if pair % 2 == 0 else ("kernel", "ours"):
                took, got = self.path.get(end, self.count)
                expect(got == page_bytes(self.count), f"{end}: other octets came than were sent")
                self.seconds[end].append(took)

    def transfers(self):
        """Of each end."""
        return len(self.seconds["ours"])

    def ours(self, name):
        return self.after.counter(name) - self.before.counter(name)

    def kernel(self, name):
        return self.kernel_after[name] - self.kernel_before[name]

    def expect_goodput(self):
        """By the pairs' number: a transfer under 5 % loss takes half as long as another, or twice, by chance."""
        slow = sum(ratio < LEAST_RATIO for ratio in self.ratios())
        expect(slow < PAIRS - 1, f"goodput was below {LEAST_RATIO} of the kernel's in {slow} of {PAIRS} pairs; their median is {self.ratio():.3f}")

    def goodput(self, end):
        """Median, Mbit/s."""
        return self.count * 8e-6 / statistics.median(self.seconds[end])

    def ratios(self):
        """Our goodput to the kernel's, by pairs."""
        return [kernel / ours for ours, kernel in zip(self.seconds["ours"], self.seconds["kernel"])]

    def ratio(self):
        return statistics.median(self.ratios())

    def tell(self, what):
        for end, line in (("ours", our_line(self.before, self.after)), ("kernel", kernel_line(self.kernel_before, self.kernel_after))):
            each = " ".join(f"{self.count * 8e-6 / seconds:.1f}" for seconds in self.seconds[end])
            tell(f"{what}, {end}: {self.goodput(end):.1f} Mbit/s (of {each}); {line}")
        tell(f"{what}: ratio {self.ratio():.3f}")


def compare_under_loss(lab, per_mille, count):
    path = Path(lab)
    path.lose(per_mille)
    pairs = Pairs(path, count)
    pairs.tell(f"{per_mille / 10:g} % loss")
    path.tell_sockets()
    lost = pairs.transfers() * count / 1448 * per_mille / 1000
    for end, sent_again in (("ours", pairs.ours("RetransmittedSegments")), ("kernel", pairs.kernel("RetransSegs"))):
        expect(sent_again > lost / 2, f"{end} sent only {sent_again} segments again: are about {lost:.0f} lost?")
    pairs.expect_goodput()
    return pairs


@case("1 % loss each way: goodput is not below 0.9 of the kernel's", seconds=120, needs=TOOLS)
def goodput_one_percent(lab):
    compare_under_loss(lab, 10, 6_000_000)


@case("2 % loss each way: goodput is not below 0.9 of the kernel's", seconds=120, needs=TOOLS)
def goodput_two_percent(lab):
    compare_under_loss(lab, 20, 6_000_000)


# Windows of two to five segments: a retransmission lost, or its ACK, leaves nothing in flight that would tell, so each end waits for
# about 15 timeouts of 200 ms in 20 MB, and how many there are decides a transfer. A shorter one takes half or twice the time by chance.
@case("5 % loss each way: goodput is not below 0.9 of the kernel's, and few losses wait for the timer", seconds=280, needs=TOOLS)
def goodput_five_percent(lab):
    pairs = compare_under_loss(lab, 50, 20_000_000)
    timeouts, recoveries = pairs.ours("RtoFired"), pairs.ours("FastRetransmits")
    expect(timeouts < recoveries / 8, f"{timeouts} timeouts beside {recoveries} fast recoveries")


@case("of packets that 25 others overtake each goes again once at most, it is undone, and goodput is not below 0.9 of the kernel's", seconds=120, needs=TOOLS)
def reordering(lab):
    path = Path(lab)
    path.reorder(100)
    pairs = Pairs(path, 5_000_000)
    pairs.tell("reordering")
    late = path.counted("lanes") / 4  # the second of two, in one of two transfers
    needless, undone, recoveries = (pairs.ours(name) for name in ("DsacksReceived", "RecoveriesUndone", "FastRetransmits"))
    expect(needless > late / 3, f"{needless} D-SACKs beside about {late:.0f} late packets: is anything overtaken?")
    expect(needless < 1.5 * late, f"{needless} needless retransmissions for about {late:.0f} late packets: more than the late ones went again")
    expect(undone > recoveries / 2, f"only {undone} of {recoveries} recoveries were undone")
    pairs.expect_goodput()


@case("packets that come twice are not taken for losses, and goodput is not below 0.9 of the kernel's", seconds=120, needs=TOOLS)
def duplication(lab):
    path = Path(lab)
    path.duplicate("client0", 50)
    path.duplicate(path.server.tap, 50)
    path.duplicate("kernel0", 50)
    pairs = Pairs(path, 5_000_000)
    pairs.tell("duplication")
    twice = path.counted("twice")
    dsacks, timeouts, undone = (pairs.ours(name) for name in ("DsacksReceived", "RtoFired", "RecoveriesUndone"))
    expect(dsacks > 100, f"{dsacks} D-SACKs for {twice} packets that came twice in both transfers")
    expect(timeouts == 0 and undone < dsacks / 4, f"{undone} recoveries undone, {timeouts} timeouts: duplicates were taken for losses")
    pairs.expect_goodput()
