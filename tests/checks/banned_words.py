#!/usr/bin/python3
"""Words that must not stand on the data path, each with the word to use instead.

Code that runs only before the loops start may use the words marked so below, if the line, or a
comment line above it, says `// setup: why`.
"""

import re
import sys

from source_tree import ROOT, code_only, proves_it_can_fail, report, sources

FOLDERS = [f"lib/{name}" for name in ("wire", "packet", "link", "ip", "tcp", "app", "stack")]

# (pattern, what to use instead, may set-up code use it)
BANNED = [
    (r"\b(?:steady_clock|system_clock|high_resolution_clock|clock_gettime|gettimeofday|rdtscp?|__rdtsc"
     r"|rte_rdtsc\w*|rte_get_(?:tsc|timer)_(?:cycles|hz)|(?:std::)?time\s*\(\s*(?:0|NULL|nullptr)\s*\))",
     "the `now` that is passed in (base/time.hpp)", False),
    (r"\b(?:rand|srand|random|drand48|rte_rand\w*|getrandom|getentropy|randombytes_\w+)\s*\(|\brandom_device\b|\bmt19937\w*",
     "the Rng or the keyed hash that is passed in (base/rng.hpp)", False),
    (r"(?<!operator )\bnew\b(?!\s*\()|\b(?:malloc|calloc|realloc|rte_[zm]alloc\w*)\s*\(|\bmake_(?:unique|shared)\b",
     "records of the state region, or a Slab (base/slab.hpp)", True),
    (r"\bstd::function\b", "a virtual interface, a template parameter or an enum", False),
    (r"\bstd::(?:unordered_)?(?:multi)?(?:map|set)\b", "the flow table, a Slab, or a sorted array", False),
    (r"\bthrow\b", "a verdict (packets) or a Result (callers)", True),
    (r"\b(?:f|s|sn|vf|vs|vsn)?printf\s*\(|\bfmt::(?:print|format)\w*|\bstd::(?:cout|cerr|clog|ostream|stringstream|ostringstream)\b"
     r"|\brte_log\b|\bRTE_LOG\b|\bsyslog\s*\(",
     "a counter, an outcome or a recorder event", False),
    (r"\bstd::(?:mutex|shared_mutex|lock_guard|unique_lock|condition_variable)\b|\brte_(?:spin|rw)lock_\w+",
     "a mailbox: a shard has no lock", False),
    (r"\b__builtin_prefetch\b", "fetch_ahead() (base/fetch_ahead.hpp), whose calls are not dropped", False),
    (r"\bthread_local\b", "a member: two stacks share a thread in the simulator", False),
]
COMPILED = [(re.compile(pattern), instead, setup) for pattern, instead, setup in BANNED]
MARK = re.compile(r"//.*\bsetup: \S")


def has_mark(lines, number):
    """The statement from line `number` (0-based) on, or the comment lines right above it, carry the mark."""
    for line in lines[number:number + 4]:
        if MARK.search(line):
            return True
        if re.search(r"[;{}]\s*(?://.*)?$", line):
            break
    above = number - 1
    while above >= 0 and lines[above].lstrip().startswith("//"):
        if MARK.search(lines[above]):
            return True
        above -= 1
    return False


def check(root):
    findings = []
    for path in sources(root, *FOLDERS):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for number, line in enumerate(code_only(text).splitlines()):
            if line.lstrip().startswith("#"):
                continue
            for pattern, instead, setup_may in COMPILED:
                if (match := pattern.search(line)) and not (setup_may and has_mark(lines, number)):
                    hint = ", or mark it `// setup: why` if it runs before the loops" if setup_may else ""
                    findings.append(f"{path.relative_to(root)}:{number + 1}: `{match[0].strip()}` is banned on the data path; "
                                    f"use {instead}{hint}")
    return findings


GOOD = {
    "lib/tcp/engine.cpp": "// A new segment; never printf here.\n"
    "auto x = std::make_unique<Table>(n);  // setup: tables are made once\n"
    "auto y = std::make_unique<Table>(\n    n);  // setup: wrapped\n"
    "// setup: reserved before the loops start\nint* a = new int[4];\n"
    "::new (memory) Record{};\nint random_seed = 1; auto s = \"throw new\";\nint newest = now.time(3);\n",
    "lib/runtime/clock.cpp": "auto t = std::chrono::steady_clock::now();\n",
}
BAD = [
    {"lib/tcp/a.cpp": "auto t = std::chrono::steady_clock::now();\n"},
    {"lib/tcp/a.cpp": "auto t = rte_rdtsc(); // setup: no excuse for a clock\n"},
    {"lib/ip/a.cpp": "int r = rand();\n"},
    {"lib/link/a.cpp": "auto* p = new Entry;\n"},
    {"lib/link/a.cpp": "auto* p = new Entry;\nint x;  // setup: of another statement\n"},
    {"lib/link/a.cpp": "// setup: too far away\n\nauto* p = new Entry;\n"},
    {"lib/stack/a.cpp": "std::function<void()> f;\n"},
    {"lib/tcp/a.hpp": "std::unordered_map<int, int> m;\n"},
    {"lib/wire/a.cpp": "throw 1;\n"},
    {"lib/tcp/a.cpp": 'std::printf("x");\n'},
    {"lib/packet/a.cpp": 'auto s = fmt::format("{}", 1);\n'},
    {"lib/stack/a.cpp": "std::mutex m;\n"},
    {"lib/tcp/a.hpp": "__builtin_prefetch(&line);\n"},
]

if __name__ == "__main__":
    proves_it_can_fail(check, GOOD, BAD)
    sys.exit(report(check(ROOT), "banned words"))
