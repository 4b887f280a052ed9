#!/usr/bin/env python3
"""What docs/fuse-bench.md says, measured: see scripts/bench-fuse.sh."""
import argparse
import os
import signal
import sys

sys.dont_write_bytecode = True

from machine import Machine
from memory import Memory
from reading import Large, Small
from report import Report
from starting import Stage, Starting
from survival import Survival
from writing import Writing


def arguments():
    parser = argparse.ArgumentParser(description="FUSE and lazy pulling against their targets: ratios inside one run.")
    parser.add_argument("program", help="containerd-ref")
    parser.add_argument("probe", help="probe.c, compiled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file for every sample")
    parser.add_argument("--only", default="", help="sections, separated by commas: large, small, writing, cost, starting, survival, memory")
    return parser.parse_args()


def main():
    options = arguments()
    wanted = set(filter(None, options.only.split(",")))
    report, machine = Report(options.rounds), Machine(options.program, options.probe, sys.stderr)

    def interrupt(*_):
        # What is being put back may fail for that reason, and hide it.
        report.interrupted = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    large, small, writing, starting, survival, memory = (kind(report) for kind in (Large, Small, Writing, Starting, Survival, Memory))
    # A pull at the speed of a slow line takes half a minute.
    few = min(options.rounds, 3)
    stage = []

    def staged(body):
        def measured():
            if not stage:
                stage.append(Stage(machine))
            body(machine, stage[0])
        return measured

    sections = [
        ("large", True, large.rows.values(), lambda: large.measure(machine, options.rounds)),
        ("small", True, small.rows.values(), lambda: small.measure(machine, options.rounds)),
        ("writing", True, [*writing.rows.values(), writing.large], lambda: writing.measure(machine, options.rounds)),
        ("cost", False, starting.cost_rows, staged(lambda machine, stage: starting.measure_cost(machine, stage, few))),
        ("starting", False, starting.rows, staged(lambda machine, stage: starting.measure(machine, stage, few))),
        ("survival", False, survival.rows, staged(survival.measure)),
        ("memory", False, memory.rows, staged(memory.measure)),
    ]
    status = 0
    try:
        for name, in_real_time, rows, body in sections:
            if not wanted or name in wanted:
                if os.environ.get("RT") == "1":
                    report.real_time |= machine.real_time(in_real_time)
                report.section(name, list(rows), body)
    except KeyboardInterrupt:
        print("ended before all was measured", file=sys.stderr)
        status = 130
    finally:
        machine.end()
    facts = report.machine(options.program)
    print(f"\n{report.medians()}\n\n{report.table()}\n")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if options.json:
        report.write(options.json, options.program)
    if any(row.verdict == "failed" for row in report.rows):
        status = status or 1
    sys.exit(status)


if __name__ == "__main__":
    main()
