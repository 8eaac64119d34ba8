"""Figures of a bench: values run by run, then median, smallest and largest."""

import json
import statistics


class Figures:
    def __init__(self, command):
        self._command = command
        self._values = {}
        self._units = {}

    def add(self, name, unit, value):
        self._values.setdefault(name, []).append(value)
        self._units[name] = unit

    def median(self, name):
        return statistics.median(self._values[name])

    def entries(self):
        return [{"name": name, "unit": self._units[name], "median": statistics.median(values), "min": min(values), "max": max(values),
                 "runs": len(values), "command": self._command} for name, values in self._values.items()]

    def append_to(self, path):
        """Adds the entries to the list in `path`; of one name the new one counts."""
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        kept = [entry for entry in entries if entry["name"] not in self._values]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept + self.entries(), indent=1) + "\n", encoding="utf-8")

    def row(self, text, name, form="{:,.0f}"):
        values = self._values[name]
        low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
        print(f"{text:<66} {middle:>12} {low:>12} {high:>12}", flush=True)


def heading(text):
    print(f"{text:<66} {'median':>12} {'min':>12} {'max':>12}", flush=True)
