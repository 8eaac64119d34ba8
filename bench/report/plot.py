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

COUNTS = {"1": 1, "1k": 1e3, "10k": 1e4, "100k": 1e5, "1m": 1e6, "10m": 1e7, "20m": 2e7, "30m": 3e7}

# With `series`: lines over what stands in the names behind a prefix, a number of things or (`shares`) a multiple of
# something; series are (label, prefix). With `bars`: single figures beside each other, (label, name). All with the range of the runs.
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
    {"file": "engine_open", "title": "The stack alone, one core, beside open connections",
     "x": "connections that are open", "y": "TSC cycles",
     "series": [("request and response of 64 octets, any connection", "engine.rr64_cycles_"),
                ("connection, SYN to TIME-WAIT", "engine.conn_cycles_"), ("received MSS", "engine.rx_cycles_"),
                ("sent MSS", "engine.tx_cycles_")]},
    {"file": "engine_rates", "title": "The stack alone, one core: its peer a replayer outside of what is timed", "y": "1/s",
     "bars": [("request-responses", "engine.rr64_per_s"), ("connections", "engine.conn_full_per_s"),
              ("SYNs answered by a cookie", "gate.syn_cookie_per_s"), ("strays", "gate.stray_capped_per_s")]},
    {"file": "wire_keepalive", "title": "GET of 64 octets on connections that stay, one server core", "y": "requests/s",
     "bars": [("Sluice, memif", "wire.memif.keepalive_rps"), ("Sluice, vhost-user", "wire.vhost.keepalive_rps"),
              ("Sluice, AF_XDP", "wire.afxdp.keepalive_rps"), ("nginx, veth", "wire.nginx.keepalive_rps"),
              ("epoll, veth", "wire.epoll.keepalive_rps")]},
    {"file": "wire_connections", "title": "A connection for each GET, closed by the server, one server core", "y": "connections/s",
     "bars": [("Sluice, memif", "wire.memif.conn_per_s"), ("Sluice, vhost-user", "wire.vhost.conn_per_s"),
              ("Sluice, AF_XDP", "wire.afxdp.close_per_s"), ("nginx, veth", "wire.nginx.close_per_s"),
              ("epoll, veth", "wire.epoll.close_per_s")]},
    {"file": "wire_cycles", "title": "What a GET on a connection that stays costs the server's core, kernel and all, over a veth", "y": "TSC cycles",
     "bars": [("Sluice, AF_XDP", "wire.afxdp.cycles_per_request"), ("nginx", "wire.nginx.cycles_per_request"),
              ("epoll", "wire.epoll.cycles_per_request")]},
    {"file": "wire_overload", "title": "Overload: requests answered of those that come whatever the server does",
     "x": "requests offered, of what it can carry", "y": "answered in time (1/s)", "shares": True,
     "series": [("memif", "wire.memif.overload_"), ("vhost-user", "wire.vhost.overload_")]},
]

STYLE = """set term {terminal}
set output "{output}"
set title "{title}"
set ylabel "{y}"
set yrange [0:*]
set grid ytics lt 1 lw 1 lc rgb "#d8d8d8"
set key outside bottom center horizontal samplen 2
set border 3
set tics nomirror
"""
TERMINALS = {"png": "pngcairo size 1100,520 font 'sans,11'", "svg": "svg size 1100,520 font 'sans,13' background rgb 'white'"}
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


COUNT_AXIS = """set xlabel "{x}"
set logscale x 10
set format x "10^{{%T}}"
set xrange [{left}:{right}]
"""
SHARE_AXIS = """set xlabel "{x}"
set format y "%.1s%c"
set xrange [0:{right}]
"""
BARS = """set format y "%.1s%c"
set boxwidth 0.6
set style fill solid
set xtics noenhanced
set xrange [-0.6:{right}]
unset key
"""


def points(found, prefix, is_shares):
    """(count, result) of the names that are the prefix and a count, or a share such as 1.5x."""
    pattern = re.compile(re.escape(prefix) + (r"(\d+(?:\.\d+)?)x_rps$" if is_shares else r"(\d+[km]?)$"))
    some = []
    for one in found:
        if match := pattern.match(one["name"]):
            count = float(match[1]) if is_shares else COUNTS.get(match[1])
            some += [(count, one)] if count is not None else []
    return sorted(some, key=lambda pair: pair[0])


def block(name, rows):
    return f"${name} << END\n" + "".join(" ".join(row) + "\n" for row in rows) + "END\n"


def of_runs(one):
    return [f"{one[part]:g}" for part in ("median", "min", "max")]


def lines(picture, found):
    """Axis, data and what to plot; None without data."""
    is_shares = picture.get("shares", False)
    some = [(label, points(found, prefix, is_shares)) for label, prefix in picture["series"]]
    some = [(label, found_here) for label, found_here in some if found_here]
    if not some:
        return None
    counts = [count for _, found_here in some for count, _ in found_here]
    axis = SHARE_AXIS if is_shares else COUNT_AXIS
    text = axis.format(x=picture["x"], left=min(counts) / 1.6, right=max(counts) * (1.1 if is_shares else 1.6))
    parts = []
    for number, (label, found_here) in enumerate(some):
        text += block(f"line{number}", [[f"{count:g}", *of_runs(one)] for count, one in found_here])
        label = label.replace("'", "''")
        color = COLORS[number % len(COLORS)]
        parts.append(f"$line{number} using 1:2:3:4 with yerrorbars notitle pt 7 ps 0.9 lc rgb '{color}'")
        parts.append(f"$line{number} using 1:2 with lines title '{label}' lw 2 lc rgb '{color}'")
    return text, parts


def short(value):
    """Three figures: 1.37M, 847k, 19.4k."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.{2 if value < 10 * unit else 1 if value < 100 * unit else 0}f}{name}"
    return f"{value:.3g}"


def bars(picture, found):
    by_name = {one["name"]: one for one in found}
    some = [(label, by_name[name]) for label, name in picture["bars"] if name in by_name]
    if not some:
        return None
    text = BARS.format(right=len(some) - 0.4)
    text += block("bars", [[f"{number}", *of_runs(one), f'"{label}"', short(one["median"])] for number, (label, one) in enumerate(some)])
    return text, [f"$bars using 1:2:xtic(5) with boxes lc rgb '{COLORS[0]}'",
                  "$bars using 1:2:3:4 with yerrorbars pt 7 ps 0.4 lw 1.5 lc rgb '#404040'",
                  "$bars using 1:4:6 with labels offset 0,0.8"]


def script(picture, found, kind, output):
    made = bars(picture, found) if "bars" in picture else lines(picture, found)
    if made is None:
        return None
    text, parts = made
    style = STYLE.format(terminal=TERMINALS[kind], output=output, title=picture["title"], y=picture["y"])
    return style + text + "plot " + ", \\\n  ".join(parts) + "\n"


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
