"""Row 12: the server is killed, and replaced, while a container's files are read and written."""
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time

from machine import Failed
from report import percentile

KILLS, UPGRADES = 50, 20
# A worker that dies younger than a second is started again after a pause only: that is not what is measured.
APART = 1.15


class Survival:
    def __init__(self, report):
        self.report = report
        self.rows = [
            report.row("12", "operations failed or wrong, server killed 50 times", "<=", 0),
            report.row("12", "longest stall of a kill, 99th percentile", "<=", 100, " ms"),
            report.row("12", "operations failed or wrong, server replaced 20 times", "<=", 0),
            report.row("12", "longest stall of an upgrade, 99th percentile", "<=", 100, " ms"),
        ]

    def measure(self, machine, stage):
        containerd, image = stage.containerd, stage.built.image
        source, target = machine.path("image-tree/text"), machine.path("survival")
        if len(containerd.indexes()) < len(image.layers):
            # Nobody has pulled it yet: an ordinary pull, by which the indexes are made.
            containerd.pull(stage.fast_name, lazily=True)
            machine.wait_until("the indexes are made", lambda: len(containerd.indexes()) == len(image.layers), patience=120, pause=0.2)
            containerd.remove(stage.fast_name)
        containerd.pull(stage.fast_name, lazily=True)
        containerd.mount("bench-survival", image.chain(), target)
        try:
            below = f"{containerd.root}/lazy"
            if not any(mount.startswith(below) for mount in machine.mounts()):
                raise Failed("the container does not stand on a lazy mount")
            # All is here and verified, so that the network is no part of a stall; and in plain directories, which later containers would have.
            machine.warm(f"{target}/lib", f"{target}/data")
            machine.wait_until("the layers are in plain directories", lambda: len(glob.glob(f"{containerd.root}/snapshots/*/graduated")) == len(image.layers),
                               patience=120, pause=0.2)
            self.shake(machine, containerd, source, target, "kill", KILLS, self.kill, *self.rows[:2])
            self.shake(machine, containerd, source, target, "upgrade", UPGRADES, self.upgrade, *self.rows[2:])
        finally:
            containerd.unmount("bench-survival", target)
            containerd.remove(stage.fast_name)

    @staticmethod
    def kill(containerd, worker):
        os.kill(worker, signal.SIGKILL)

    @staticmethod
    def upgrade(containerd, worker):
        containerd.supervisor.send_signal(signal.SIGHUP)

    def shake(self, machine, containerd, source, target, what, times, blow, failed, stalled):
        loads = []
        for kind, seed in (("read", 1), ("read", 2), ("write", 3)):
            loads.append(machine.start([sys.executable, os.path.join(os.path.dirname(__file__), "load.py"), kind, target, source, str(seed)],
                                       stdout=subprocess.PIPE, text=True))
        for load in loads:
            load.stdout.readline()
        chance, moments = random.Random(5), []
        time.sleep(APART)
        for _ in range(times):
            # The one that stands by looks like another worker for as long as it is being loaded.
            machine.wait_until("one worker serves", lambda: containerd.worker() is not None)
            before = containerd.worker()
            moments.append(time.monotonic())
            blow(containerd, before)
            machine.wait_until("another worker serves", lambda: containerd.worker() not in (None, before))
            time.sleep(max(0, moments[-1] + APART + chance.uniform(0, 0.1) - time.monotonic()))
        results = []
        for load in loads:
            load.send_signal(signal.SIGTERM)
            said, _ = load.communicate(timeout=60)
            machine.stop(load)
            results.append(json.loads(said))
        failures = [failure for result in results for failure in result["failures"]]
        failed.add(len(failures))
        failed.note = failures[0] if failures else f"of {sum(result['operations'] for result in results)}"
        long = [operation for result in results for operation in result["long"]]
        stalls = [1000 * max((took for begun, took in long if begun < moment + APART / 2 and begun + took > moment), default=0) for moment in moments]
        stalled.add(percentile(stalls, 0.99))
        stalled.note = f"median {percentile(stalls, 0.5):.0f} ms, longest {max(stalls):.0f} ms"
        self.report.fact(f"stalls of each {what}, ms", [round(stall) for stall in sorted(stalls)])
        if min(stalls) == 0:
            self.report.fact(f"{what}s that nobody noticed", sum(stall == 0 for stall in stalls))
