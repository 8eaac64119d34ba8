"""A flood beyond what the server can take, over memif: honest clients and spoofed SYNs in one stream of one generator.

    bench_memif (gateway 10.97.0.1, everybody behind it) ── memif ── 10.97.0.2 sluice-echo

One core each. What the ring has no room for is lost, honest or not, and honest clients send again as Linux does.
"""

import json

from lab import Stats, expect, wait_until

OVERLOAD = 1.5  # Spoofed SYNs offered, of what the server took when it was offered all that a core can make.
CLIENTS_PER_S = 2000
SECONDS = 2
BOUND = 8  # Seconds until a client gives up: SYNs at 0, 1, 3 and 7 s.
GATEWAY, SERVER = "10.97.0.1", "10.97.0.2"


class Pair:
    """A sluice-echo on a memif of its own, and generators one after another at the other end."""

    def __init__(self, lab, number):
        self.lab = lab
        self.instance = f"{lab.namespace}.memif{number}"
        self.socket = lab.folder / f"memif{number}.socket"
        config = lab.folder / "memif.toml"
        config.write_text("", encoding="utf-8")
        self.server = lab.start(f"sluice-echo.memif{number}", lab.program("sluice-echo"), "--config", config, "--instance", self.instance,
                                "--device", self.device("server"), "--address", f"{SERVER}/24", "--gateway", GATEWAY, "--idle", "spin")

        def serves():
            expect(self.server.is_running(), f"sluice-echo ended: {self.server.err().strip()}")
            return "listening" in self.server.out() + self.server.err()

        wait_until(serves, 15, "sluice-echo on memif to serve")

    def device(self, role):
        return f"net_memif0,role={role},socket={self.socket},socket-abstract=no"

    def generate(self, spoofed, honest, seconds):
        """What bench_memif says, with shares and rates."""
        program = self.lab.build / "bench" / "wire" / "bench_memif"
        expect(program.exists(), f"bench_memif is not built in {self.lab.build}")
        process = self.lab.start("generator", program, "--device", self.device("client"), "--instance", f"{self.instance}.generator",
                                 "--gateway", GATEWAY, "--address", SERVER, "--spoofed", spoofed, "--honest", honest,
                                 "--seconds", seconds, "--bound", BOUND)
        expect(process.wait(seconds + BOUND + 20) == 0, f"bench_memif: {process.err().strip()}")
        said = json.loads(process.out())
        for kind in ("spoofed", "honest"):
            said[f"{kind}_refused"] = 1 - said[f"{kind}_taken"] / max(said[f"{kind}_offered"], 1)
        said["success"] = said["honest"]["served"] / max(said["honest"]["clients"], 1)
        said["success_3s"] = said["honest"]["served_3s"] / max(said["honest"]["clients"], 1)
        return said

    def stats(self):
        return Stats(json.loads(self.lab.ctl(self.instance, "stats", "--json")))


def measure(lab, figures, number):
    pair = Pair(lab, number)
    calm = pair.generate(0, CLIENTS_PER_S, 1)
    # Of the second run: the first has to fill the queue of half-open entries.
    pair.generate(-1, 0, 0.2)
    full = pair.generate(-1, 0, 1)
    capacity = full["spoofed_taken"] / full["seconds"]
    figures.add("gate.memif_capacity", "SYNs/s", capacity)
    figures.add("gate.memif_syn_ack_per_s", "1/s", full["syn_acks"] / full["seconds"])
    figures.add("gate.memif_generator_limit", "SYNs/s", full["spoofed_offered"] / full["seconds"])
    before = pair.stats()
    flooded = pair.generate(OVERLOAD * capacity, CLIENTS_PER_S, SECONDS)
    after = pair.stats()
    figures.add("gate.memif_flood_rate", "SYNs/s", flooded["spoofed_offered"] / flooded["seconds"])
    figures.add("gate.memif_flood_syn_ack_per_s", "1/s", flooded["syn_acks"] / flooded["seconds"])
    figures.add("gate.memif_flood_refused", "share", flooded["spoofed_refused"])
    figures.add("gate.memif_flood_honest_refused", "share", flooded["honest_refused"])
    figures.add("gate.memif_calm_honest_success", "share", calm["success"])
    figures.add("gate.memif_flood_honest_success", "share", flooded["success"])
    figures.add("gate.memif_flood_honest_success_3s", "share", flooded["success_3s"])
    figures.add("gate.memif_flood_honest_reset", "share", flooded["honest"]["reset"] / max(flooded["honest"]["clients"], 1))
    figures.add("gate.memif_flood_answers_dropped", "frames", after.counter("TxDropped") - before.counter("TxDropped"))
    for state, said in (("calm", calm), ("flood", flooded)):
        figures.add(f"gate.memif_{state}_p50", "us", said["honest"]["echo_us"]["p50"])
        figures.add(f"gate.memif_{state}_p99", "us", said["honest"]["echo_us"]["p99"])
    pair.server.kill()


def run(lab, figures, rounds):
    """Adds gate.memif_*."""
    for number in range(rounds):
        measure(lab, figures, number)


def misses(figures):
    said = []
    if figures.median("gate.memif_flood_rate") < 1.1 * figures.median("gate.memif_capacity"):
        said.append("over memif the generator's core was the limit, not the server: that was no flood above capacity")
    if figures.median("gate.memif_flood_honest_reset") > 0:
        said.append("over memif honest connections were reset by the server")
    return said


def print_table(figures):
    row = figures.row
    row("memif: SYNs that the server takes, spoofed only (/s)", "gate.memif_capacity")
    row("  SYN-ACKs that come back (/s)", "gate.memif_syn_ack_per_s")
    row("  SYNs that the generator can offer (/s)", "gate.memif_generator_limit")
    row(f"  flood offered, {OVERLOAD} times that (/s)", "gate.memif_flood_rate")
    row("  SYN-ACKs that come back (/s)", "gate.memif_flood_syn_ack_per_s")
    row("  spoofed frames lost at the full ring", "gate.memif_flood_refused", "{:.2%}")
    row("  honest frames lost at the full ring", "gate.memif_flood_honest_refused", "{:.2%}")
    row(f"  honest clients served within {BOUND} s, calm", "gate.memif_calm_honest_success", "{:.2%}")
    row(f"  honest clients served within {BOUND} s, in the flood", "gate.memif_flood_honest_success", "{:.2%}")
    row("  within 3 s", "gate.memif_flood_honest_success_3s", "{:.2%}")
    row("  reset by the server", "gate.memif_flood_honest_reset", "{:.2%}")
    for state in ("calm", "flood"):
        row(f"  connect and echo, {state}: p50 (us)", f"gate.memif_{state}_p50")
        row(f"  connect and echo, {state}: p99 (us)", f"gate.memif_{state}_p99")
    row("  answers that the server dropped: ring to the generator full", "gate.memif_flood_answers_dropped")
