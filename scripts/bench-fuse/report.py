"""Rows of the table: what was aimed at, what was reached."""
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys


class Row:
    """`limit` is the target: the ratio (or figure) must be at least that, or at most."""

    def __init__(self, number, what, comparison, limit, unit=""):
        self.number, self.what, self.comparison, self.limit, self.unit = number, what, comparison, limit, unit
        self.samples, self.failure, self.note = [], None, ""

    def add(self, value):
        self.samples.append(value)

    @property
    def reached(self):
        return statistics.median(self.samples) if self.samples else None

    @property
    def verdict(self):
        if self.failure:
            return "failed"
        if self.reached is None:
            return "not run"
        met = self.reached >= self.limit if self.comparison == ">=" else self.reached <= self.limit
        return "met" if met else "missed"

    def figure(self, value):
        if value is None:
            return "-"
        return f"{value:.0f}{self.unit}" if self.unit and abs(value) >= 20 or value == int(value) else f"{value:.3f}{self.unit}"

    @property
    def target(self):
        return f"{self.comparison} {self.limit:g}{self.unit}"

    def data(self):
        return {"row": self.number, "what": self.what, "target": self.target, "reached": self.reached, "verdict": self.verdict,
                "samples": self.samples, "note": self.note, "failure": self.failure}


class Report:
    def __init__(self, rounds):
        self.rows, self.rounds, self.facts, self.seconds = [], rounds, {}, {}
        self.begun, self.load = datetime.datetime.now(datetime.timezone.utc), os.getloadavg()
        self.real_time, self.interrupted = False, False

    def row(self, *words, **options):
        row = Row(*words, **options)
        self.rows.append(row)
        return row

    def fact(self, what, value):
        """A figure that no target is about, which explains one that has."""
        self.facts.setdefault(what, []).append(value)

    def time(self, what, kind, value):
        self.seconds.setdefault(what, {}).setdefault(kind, []).append(value)

    def section(self, name, rows, body):
        """One part of the run; its failure is told in its rows, and ends nothing else."""
        print(f"{name} ...", file=sys.stderr, flush=True)
        begun = datetime.datetime.now()
        try:
            body()
        except Exception as error:  # whatever it is, the other rows are of use
            if self.interrupted:
                raise KeyboardInterrupt from error
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            for row in rows:
                if not row.samples:
                    row.failure = f"{error}" or type(error).__name__
        print(f"  {(datetime.datetime.now() - begun).total_seconds():.0f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)

    def machine(self, program):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
        said = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
        return {"date": self.begun.isoformat(timespec="seconds"), "kernel": platform.release(), "cpus": os.cpu_count(), "model": model, "load": self.load,
                "rounds": self.rounds, "real time": self.real_time, "program": program, "version": said(program, "--version"),
                "containerd": said("containerd", "--version"), "fuse-overlayfs": " ".join(line for line in said("fuse-overlayfs", "--version").split("\n") if line.startswith("fuse-overlayfs"))}

    def table(self):
        """As Markdown, which is as well read on a terminal."""
        rows = [("row", "what", "target", "reached", "rounds", "verdict")]
        # A part of the run that was not asked for has no lines.
        for row in sorted((row for row in self.rows if row.samples or row.failure), key=lambda row: int(row.number)):
            spread = f"{self.range(row)}" if len(row.samples) > 1 else ""
            verdict = row.verdict + (f" ({row.note})" if row.note else "") + (f": {row.failure[:160]}" if row.failure else "")
            rows.append((row.number, row.what, row.target, row.figure(row.reached), spread, verdict))
        widths = [max(len(line[i]) for line in rows) for i in range(5)]
        lines = ["| " + " | ".join(line[i].ljust(widths[i]) for i in range(5)) + f" | {line[5]} |" for line in rows]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|---|", *lines[1:]])

    @staticmethod
    def range(row):
        return f"{row.figure(min(row.samples))} to {row.figure(max(row.samples))}"

    def medians(self):
        lines = []
        for what, kinds in self.seconds.items():
            lines.append(f"{what:42} " + ", ".join(f"{kind} {statistics.median(values):.3f} s" for kind, values in kinds.items()))
        for what, values in self.facts.items():
            lines.append(f"{what:42} " + (f"{statistics.median(values):.3g}" if all(isinstance(v, (int, float)) for v in values) else "; ".join(map(str, values))))
        return "\n".join(lines)

    def write(self, path, program):
        with open(path, "w") as file:
            json.dump({"machine": self.machine(program), "rows": [row.data() for row in self.rows], "seconds": self.seconds, "facts": self.facts}, file, indent=1)


def percentile(values, share):
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
