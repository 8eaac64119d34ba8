#!/usr/bin/python3
"""Who may include whom: the edges of the design, between folders and inside tcp."""

import sys

from source_tree import ROOT, includes, proves_it_can_fail, report, sources

# folder -> the folders whose headers it may include, itself apart.
LOWER = {"base", "wire", "packet", "telemetry"}
ALLOWED = {
    "lib/base": set(),
    "lib/telemetry": {"base"},
    "lib/wire": {"base"},
    "lib/packet": {"base"},
    "lib/link": LOWER,
    "lib/ip": LOWER,
    "lib/app": {"base", "sluice"},
    "lib/tcp": LOWER | {"app"},
    "lib/stack": LOWER | {"app", "link", "ip", "tcp", "sluice"},
    "lib/runtime": LOWER | {"app", "link", "ip", "tcp", "stack", "sluice", "drivers"},
    "lib/include/sluice": {"base"},
    "drivers": {"base", "wire", "packet", "telemetry"},
    # Programs live on the public API. sluicectl alone reads records, of any layer.
    "apps": {"base", "sluice"},
    "apps/ctl": LOWER | {"link", "ip", "tcp", "stack", "sluice"},
}
FOLDERS = {"base", "telemetry", "wire", "packet", "link", "ip", "app", "tcp", "stack", "runtime", "sluice", "drivers"}

# Single headers beyond the edges, and why.
EXTRA = {
    ("lib/tcp", "sluice/errors.hpp"): "why a connection ended is one enum for engine and application",
}

# tcp: a folder may include those of its own level and of lower ones. `context` is what the parts of
# one engine share (its tables and slabs), so it stands between the tables and those who use them.
# Files at tcp's root that the engine's callers reach (calls, ICMP errors, the whole-TCB check) are the
# engine's; every other file there is a root type.
TCP_LEVEL = {
    "root": 0,
    "demux": 1, "gate": 1,
    "context": 2, "timer": 2, "recovery": 2, "congestion": 2,
    "handshake": 3, "input": 3, "output": 3, "overload": 3,
    "engine": 4,
}
TCP_ROOT_FILES = {"engine": "engine", "user_calls": "engine", "icmp_error": "engine", "invariants": "engine", "context": "context",
                  "recording": "context"}
TCP_EXTRA = {
    ("timer/tcp_timers.cpp", "output"): "a timer that fires sends; only the engine calls that side of it",
}

# Headers from outside that a folder must not see, and why.
DPDK_CORE = ("rte_mbuf", "rte_mempool", "rte_memcpy", "rte_prefetch", "rte_branch_prediction", "rte_common", "rte_byteorder")
DPDK_ALLOWED = {
    "lib/base": DPDK_CORE + ("rte_thash",),
    "lib/wire": (),
    "lib/telemetry": (),
    "lib/packet": DPDK_CORE,
    "lib/link": DPDK_CORE,
    "lib/ip": DPDK_CORE + ("rte_fib", "rte_ip_frag", "rte_errno"),
    "lib/app": (),
    "lib/tcp": DPDK_CORE,
    "lib/stack": DPDK_CORE,
    "lib/include/sluice": (),
    "drivers/sim": DPDK_CORE + ("rte_ether", "rte_ip", "rte_tcp"),
    "drivers/middleware": DPDK_CORE,
    "apps": (),
}


def home(path):
    """The longest folder of ALLOWED that holds `path`."""
    return max((f for f in ALLOWED if path == f or path.startswith(f + "/")), key=len, default=None)


def target_folder(name, own):
    first, slash, _ = name.partition("/")
    if not slash:
        return "sluice" if own == "lib/include/sluice" else None  # A neighbour in the same folder.
    return first if first in FOLDERS else None


def tcp_level(path):
    """Level of a path below lib/tcp."""
    first, slash, rest = path.partition("/")
    if slash:
        return TCP_LEVEL.get(first)
    stem = first.partition(".")[0]
    return TCP_LEVEL["engine" if stem.startswith("engine_") else TCP_ROOT_FILES.get(stem, "root")]


def check(root):
    findings = []
    for path in sources(root, "lib", "drivers", "apps"):
        name = path.relative_to(root).as_posix()
        own = home(name)
        if own is None:
            findings.append(f"{name}:1: a folder that the design does not name")
            continue
        own_folder = "sluice" if own == "lib/include/sluice" else own.split("/")[1] if own.startswith("lib/") else own
        for line, included, is_system in includes(path.read_text(encoding="utf-8")):
            where = f"{name}:{line}"
            if is_system:
                stem = included.removesuffix(".h")
                if stem.startswith("rte_"):
                    allowed = next((DPDK_ALLOWED[f] for f in sorted(DPDK_ALLOWED, key=len, reverse=True)
                                    if name.startswith(f + "/")), None)
                    if allowed is not None and stem not in allowed:
                        findings.append(f"{where}: <{included}> is not for {own}; EAL, ports and clocks belong to drivers/dpdk and runtime")
                continue
            folder = target_folder(included, own)
            if folder is None or folder == own_folder:
                pass
            elif folder not in ALLOWED[own] and (own, included) not in EXTRA:
                findings.append(f'{where}: {own} must not include "{included}"')
            if included.startswith("tcp/") and own == "lib/tcp":
                mine, theirs = tcp_level(name.removeprefix("lib/tcp/")), tcp_level(included.removeprefix("tcp/"))
                if mine is None or theirs is None:
                    findings.append(f'{where}: "{included}": a folder of tcp that the design does not name')
                elif theirs > mine and (name.removeprefix("lib/tcp/"), included.split("/")[1]) not in TCP_EXTRA:
                    findings.append(f'{where}: "{included}" stands above {name} in tcp\'s order')
            if "/" not in included and own != "lib/include/sluice" and not (path.parent / included).exists():
                findings.append(f'{where}: "{included}": write the path from the root of lib')
    return findings


GOOD = {
    "lib/base/time.hpp": "#pragma once\n",
    "lib/wire/tcp.hpp": '#include "base/time.hpp"\n',
    "lib/tcp/tcb.hpp": '#include "wire/tcp.hpp"\n',
    "lib/tcp/demux/flow_table.hpp": '#include "tcp/tcb.hpp"\n',
    "lib/tcp/input/segment_arrives.cpp": '#include "tcp/demux/flow_table.hpp"\n',
    "lib/tcp/engine.cpp": '#include "tcp/input/segment_arrives.hpp"\n',
    "lib/include/sluice/stream.hpp": '#include "base/time.hpp"\n#include "errors.hpp"\n',
    "apps/echo/main.cpp": '#include "sluice/sluice.hpp"\n',
    "apps/ctl/conns.cpp": '#include "tcp/tcb.hpp"\n',
}
BAD = [
    {"lib/wire/a.hpp": '#include "packet/packet.hpp"\n'},
    {"lib/link/a.hpp": '#include "ip/route_table.hpp"\n'},
    {"lib/tcp/a.hpp": '#include "link/neighbor_table.hpp"\n'},
    {"lib/tcp/tcb.hpp": '#include "tcp/demux/flow_table.hpp"\n'},
    {"lib/tcp/demux/flow_table.hpp": '#include "tcp/context.hpp"\n'},
    {"lib/tcp/context.hpp": '#include "tcp/input/ack.hpp"\n'},
    {"lib/tcp/output/output.cpp": '#include "tcp/engine.hpp"\n'},
    {"lib/tcp/cookies/a.hpp": '#include "tcp/tcb.hpp"\n'},
    {"lib/include/sluice/a.hpp": '#include "stack/stack.hpp"\n'},
    {"lib/include/sluice/a.hpp": "#include <rte_mbuf.h>\n"},
    {"lib/stack/a.cpp": "#include <rte_ethdev.h>\n"},
    {"lib/stack/a.cpp": '#include "runtime/worker.hpp"\n'},
    {"drivers/sim/a.hpp": '#include "tcp/tcb.hpp"\n'},
    {"apps/echo/main.cpp": '#include "stack/stack.hpp"\n'},
]

if __name__ == "__main__":
    proves_it_can_fail(check, GOOD, BAD)
    sys.exit(report(check(ROOT), "include edges"))
