#!/usr/bin/python3
"""Results of the suites: lists of {name, unit, median, min, max, runs, command}.

results.py table FILE...          prints them
results.py compare OLD NEW        ratios of medians; marks what changed by more than both spreads
results.py merge OUT FILE...      one list of several, sorted by name
"""

import json
import statistics
import sys

FIELDS = ("name", "unit", "median", "min", "max", "runs", "command")


def load(path):
    """A list of results, checked; exits with one line if the file is none."""
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    if not isinstance(results, list) or not all(isinstance(one, dict) and set(FIELDS) <= set(one) for one in results):
        sys.exit(f"{path}: not a list of results ({', '.join(FIELDS)})")
    return results


def save(path, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def result(name, unit, values, command):
    return {"name": name, "unit": unit, "median": statistics.median(values), "min": min(values), "max": max(values),
            "runs": len(values), "command": command}


def figure(value):
    """A number with four figures that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def print_rows(rows, is_text):
    """Columns as wide as they need; texts to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if text else cell.rjust(width) for cell, width, text in zip(row, widths, is_text)]
        print("  ".join(cells).rstrip())


def table(paths):
    rows = [("name", "median", "min", "max", "runs", "unit")]
    for path in paths:
        rows += [(one["name"], figure(one["median"]), figure(one["min"]), figure(one["max"]), str(one["runs"]), one["unit"])
                 for one in load(path)]
    print_rows(rows, (True, False, False, False, False, True))


def spread(one):
    return (one["max"] - one["min"]) / one["median"] if one["median"] else 0.0


def compare(old_path, new_path):
    old = {one["name"]: one for one in load(old_path)}
    new = {one["name"]: one for one in load(new_path)}
    rows = [("name", "old", "new", "ratio", "spread old", "new", "", "unit")]
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in old or name not in new:
            there = old.get(name) or new[name]
            rows.append((name, figure(there["median"]) if name in old else "-", figure(there["median"]) if name in new else "-",
                         "", "", "", "only old" if name in old else "only new", there["unit"]))
            continue
        before, after = old[name], new[name]
        ratio = after["median"] / before["median"] if before["median"] else float("nan")
        apart = after["min"] > before["max"] or after["max"] < before["min"]
        rows.append((name, figure(before["median"]), figure(after["median"]), f"{ratio:.3f}", f"{spread(before):.1%}",
                     f"{spread(after):.1%}", "CHANGED" if apart else "", after["unit"]))
    print_rows(rows, (True, False, False, False, False, False, True, True))
    print("CHANGED: no run of the one is among those of the other.")


def merge(out, paths):
    merged = {one["name"]: one for path in paths for one in load(path)}
    save(out, [merged[name] for name in sorted(merged)])


def main(arguments):
    match arguments:
        case ["table", *paths] if paths:
            table(paths)
        case ["compare", old, new]:
            compare(old, new)
        case ["merge", out, *paths] if paths:
            merge(out, paths)
        case _:
            sys.exit(__doc__.strip())


if __name__ == "__main__":
    main(sys.argv[1:])
