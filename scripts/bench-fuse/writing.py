"""Rows 8 and 9: the union in FUSE, beside fuse-overlayfs and the kernel's overlayfs."""
import shutil

from mounts import Overlay, Union
from reading import turns
from trees import small_files

FILES = 3_000
# Looking costs so little that a tree has to be large: else the programs that look are what is measured.
LOOKED_AT = 20_000
CREATED = 2_000
MEBIBYTES = 512


class Writing:
    STEPS = {"find lower": 0.25, "grep -r lower": 0.25, "untar": 0.7, "create": 0.7, "cp -r": 0.7, "rm -r copy": 0.5, "rm -r lower": 0.15}

    def __init__(self, report):
        self.report = report
        self.rows = {step: report.row("8", f"union, {step} / fuse-overlayfs (time)", "<=", limit) for step, limit in self.STEPS.items()}
        self.large = report.row("9", "union, write in order, passed through / overlayfs (speed)", ">=", 0.9)

    def measure(self, machine, rounds):
        tree, archive = machine.path("tree"), machine.path("tree.tar")
        small_files(tree, FILES, seed=1)
        machine.run(["tar", "-C", tree, "-cf", archive, "."])
        many = machine.path("many")
        small_files(many, LOOKED_AT)
        # Before anything is written: a disk that has still to write is in nobody's way.
        for number in range(rounds):
            # What no file system that stands on it can be quicker than.
            self.times({"the directory itself": self.look(machine, many, many)}, LOOKED_AT)
            took = self.compare(machine, number, lambda name: self.look_through(machine, name, many))
            self.times(took, LOOKED_AT)
            self.add(took)
        for number in range(rounds):
            took = self.compare(machine, number, lambda name: self.write_to(machine, name, tree, archive))
            self.times(took, FILES)
            self.add(took)
            self.large.add(took["overlayfs"]["write"] / took["union"]["write"])

    @staticmethod
    def compare(machine, number, measure):
        return {name: measure(name) for name in turns(["union", "fuse-overlayfs", "overlayfs"], number)}

    def add(self, took):
        for step, value in took["union"].items():
            if step in self.rows:
                self.rows[step].add(value / took["fuse-overlayfs"][step])

    def times(self, took, files):
        for name, values in took.items():
            for step, value in values.items():
                self.report.time(f"{files} files, {step}" if step != "write" else f"{MEBIBYTES} MiB, write", name, value)

    def look_through(self, machine, name, many):
        mount = self.mounted(machine, f"{name}-many", many, name)
        mount.up(writable=True)
        try:
            return self.look(machine, mount.target, many)
        finally:
            mount.down()
            shutil.rmtree(mount.base)

    def write_to(self, machine, name, tree, archive):
        lower = machine.directory(f"{name}-lower")
        machine.run(["cp", "-a", tree, f"{lower}/tree"])
        mount = self.mounted(machine, name, lower, name)
        mount.up(writable=True)
        try:
            return self.sample(machine, mount.target, lower, archive)
        finally:
            mount.down()
            shutil.rmtree(lower)
            shutil.rmtree(mount.base)

    @staticmethod
    def mounted(machine, place, lower, name):
        return Overlay(machine, place, lower) if name == "overlayfs" else Union(machine, place, lower, ours=name == "union")

    def look(self, machine, at, lower):
        """Without a name in the kernel's caches; what lies below is in the page cache."""
        machine.warm(lower)
        machine.forget_names()
        return {
            "find lower": machine.seconds(f"find {at} -printf '%s\\n'"),
            "grep -r lower": machine.seconds(f"grep -r needle7777 {at} || [ $? = 1 ]"),
        }

    def sample(self, machine, at, lower, archive):
        machine.warm(lower, archive)
        # The tree that was just laid out below is no debt of who comes next.
        machine.run("sync")
        took = {}
        for step, line in (
            ("untar", f"mkdir {at}/untarred && tar -C {at}/untarred -xf {archive}"),
            ("create", f"{machine.probe} create {at}/created {CREATED}"),
            ("cp -r", f"cp -r {at}/tree {at}/copy"),
            ("rm -r copy", f"rm -r {at}/copy"),
            ("rm -r lower", f"rm -r {at}/tree"),
        ):
            took[step] = machine.seconds(line)
        # What the disk still has to write is not in its way, and twice: the first write makes the file, the second one finds its blocks freed.
        times = []
        for _ in range(2):
            machine.run("sync")
            times.append(machine.probed("write", f"{at}/large", MEBIBYTES))
        took["write"] = min(times)
        return took
