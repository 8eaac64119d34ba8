#!/usr/bin/python3
"""Pictures of results, as PNG and SVG, by gnuplot: plot.py OUT-DIR FILE.json...

A picture is a row of PICTURES; one whose results are not among the files is left out.
"""

import pathlib
import re
import shutil
import subprocess
import sys

import results

COUNTS = {"1k": 1e3, "10k": 1e4, "100k": 1e5, "1m": 1e6, "10m": 1e7, "30m": 3e7}

# Lines over a number of things, with the range of the runs: series are (label, prefix of the names).
PICTURES = [
    {"file": "table_lookup", "title": "Flow table: a look-up in a burst of 32, clients at random", "x": "entries in the table",
     "y": "CPU time (ns)", "series": [("hit, the table alone", "table.lookup_hit_"), ("miss", "table.lookup_miss_"),
                                      ("hit, tuple compared in its TCB's line", "table.lookup_hit_with_key_")]},
    {"file": "table_change", "title": "Flow table: insert and erase", "x": "entries in the table", "y": "CPU time (ns)",
     "series": [("insert", "table.insert_"), ("insert while growing from nothing", "table.insert_growing_"),
                ("erase", "table.erase_")]},
    {"file": "timer", "title": "Timer wheel: one node of many, chosen at random", "x": "nodes on the wheel", "y": "CPU time (ns)",
     "series": [("arm", "timer.arm_"), ("re-arm later", "timer.rearm_later_"), ("re-arm earlier", "timer.rearm_earlier_"),
                ("cancel", "timer.cancel_"), ("expire and arm again", "timer.expire_"), ("idle turn", "timer.idle_turn_")]},
]

STYLE = """set term {terminal}
set output "{output}"
set title "{title}"
set xlabel "{x}"
set ylabel "{y}"
set logscale x 10
set format x "10^{{%T}}"
set xrange [{left}:{right}]
set yrange [0:*]
set grid ytics lt 1 lw 1 lc rgb "#d8d8d8"
set key outside right top vertical samplen 2
set border 3
set tics nomirror
"""
TERMINALS = {"png": "pngcairo size 1100,520 font 'sans,11'", "svg": "svg size 1100,520 font 'sans,13' background rgb 'white'"}
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def points(found, prefix):
    """(count, result) of the names that are the prefix and a count."""
    pattern = re.compile(re.escape(prefix) + r"(\d+[km]?)$")
    some = [(COUNTS[match[1]], one) for one in found if (match := pattern.match(one["name"])) and match[1] in COUNTS]
    return sorted(some, key=lambda pair: pair[0])


def script(picture, found, kind, output):
    lines = [(label, points(found, prefix)) for label, prefix in picture["series"]]
    lines = [(label, some) for label, some in lines if some]
    if not lines:
        return None
    counts = [count for _, some in lines for count, _ in some]
    text = STYLE.format(terminal=TERMINALS[kind], output=output, title=picture["title"], x=picture["x"], y=picture["y"],
                        left=min(counts) / 1.6, right=max(counts) * 1.6)
    for number, (_, some) in enumerate(lines):
        text += f"$line{number} << END\n"
        text += "".join(f"{count:g} {one['median']:g} {one['min']:g} {one['max']:g}\n" for count, one in some)
        text += "END\n"
    parts = []
    for number, (label, _) in enumerate(lines):
        label = label.replace("'", "''")
        color = COLORS[number % len(COLORS)]
        parts.append(f"$line{number} using 1:2:3:4 with yerrorbars notitle pt 7 ps 0.9 lc rgb '{color}'")
        parts.append(f"$line{number} using 1:2 with lines title '{label}' lw 2 lc rgb '{color}'")
    return text + "plot " + ", \\\n  ".join(parts) + "\n"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if not shutil.which("gnuplot"):
        sys.exit("plot.py: gnuplot is missing: apt-get install gnuplot-nox")
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    found = [one for path in sys.argv[2:] for one in results.load(path)]
    for picture in PICTURES:
        for kind in TERMINALS:
            path = out / f"{picture['file']}.{kind}"
            text = script(picture, found, kind, path)
            if text is None:
                continue
            subprocess.run(["gnuplot"], input=text, text=True, check=True)
            print(path)


if __name__ == "__main__":
    main()
