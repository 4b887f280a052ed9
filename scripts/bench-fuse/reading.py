"""Rows 1 to 7: reading layers that are on this machine, beside the kernel's overlayfs over the same files."""
import os
import statistics

from machine import Failed
from mounts import Lazy, Overlay
from trees import copy_in_pieces, noise, small_files

LARGE_MEBIBYTES = 512
SMALL_FILES = 20_000
READS = 40_000
# In what pieces a large file is written when a layer is unpacked: containerd's buffer; and ours.
CONTAINERD_PIECE = 32 << 10
OUR_PIECE = 1 << 20
# Half a gigabyte takes less than a tenth of a second: one hiccup would be all that is measured.
REPEATS = 5


def turns(kinds, number):
    """Each round begins with another one."""
    number %= len(kinds)
    return kinds[number:] + kinds[:number]


def make_layer(machine, files, layer, packed):
    machine.run(f"tar -C {files} -cf - . {'| gzip -6' if packed else ''} >{layer}")
    machine.run([machine.program, "index", "build", "-o", layer + ".idx", layer])


def fill(machine, mount, *names):
    """Unpacked and kept: another mount with the same cache finds it. Everything, and then checked against the image; or these names alone."""
    mount.up()
    machine.warm(*(f"{mount.target}/{name}" for name in names or [""]))
    if not names:
        machine.wait_until("the layer is verified", lambda: "complete and verified" in mount.said, patience=120, pause=0.1)
    mount.down()


class Large:
    """A layer of one large file of noise, and another one that nobody reads: the layer is never whole."""

    def __init__(self, report):
        self.report = report
        self.rows = {
            "in-order": report.row("1", "read in order, passed through / overlayfs (speed)", ">=", 0.95),
            "anywhere": report.row("2", "read 4 KiB anywhere, passed through / overlayfs (speed)", ">=", 0.95),
            "mapped": report.row("3", "mapped, in order, first time, passed through / overlayfs (speed)", ">=", 1.0),
            "not whole": report.row("3", "the same while the layer is not whole / overlayfs, unpacked by containerd (speed)", ">=", 0.3),
        }

    def measure(self, machine, rounds):
        made, files, theirs, layer = machine.directory("large-made"), machine.directory("large"), machine.directory("large-theirs"), machine.path("large.tar")
        noise(f"{made}/file", LARGE_MEBIBYTES)
        noise(f"{made}/unread", 8)
        make_layer(machine, made, layer, packed=False)
        # What is passed through and overlayfs read the same file, as our unpacking leaves it; what is served, for which nothing was unpacked, stands beside what
        # containerd's leaves.
        copy_in_pieces(f"{made}/file", f"{theirs}/file", CONTAINERD_PIECE)
        copy_in_pieces(f"{made}/file", f"{files}/file", OUR_PIECE)
        os.link(f"{made}/unread", f"{files}/unread")
        kinds = {
            "overlayfs": Overlay(machine, "large-overlay", files),
            "overlayfs, unpacked by containerd": Overlay(machine, "large-overlay-theirs", theirs),
            "passed through": Lazy(machine, "large-through", layer, machine.path("large-cache"), files=files),
            "served": Lazy(machine, "large-served", layer, machine.path("large-cache")),
        }
        fill(machine, kinds["served"], "file")
        # Or half of the rounds share the processors with the disk's writing.
        os.sync()
        for number in range(rounds):
            took = {}
            for name in turns(list(kinds), number):
                mount = kinds[name]
                mount.up()
                try:
                    took[name] = self.sample(machine, name, mount)
                finally:
                    mount.down()
                if name == "passed through" and not self.is_passed(mount.opens):
                    raise Failed(f"the kernel has not read by itself: {mount.opens}")
            for what in ("in-order", "anywhere", "mapped"):
                self.rows[what].add(took["overlayfs"][what] / took["passed through"][what])
            self.rows["not whole"].add(took["overlayfs, unpacked by containerd"]["mapped"] / took["served"]["mapped"])
            for name, values in took.items():
                for what, value in values.items():
                    self.report.time(f"{LARGE_MEBIBYTES} MiB, {what}", name, value)

    @staticmethod
    def is_passed(opens):
        """By the line that the mount prints at its end."""
        return "kernel: 0," not in opens and opens.endswith("others: 0")

    def sample(self, machine, name, mount):
        below = mount.archives if name == "served" else [mount.files if name == "passed through" else mount.lower]
        took = {}
        # Mapped first: of what is served, that is the first time.
        for what in ("mapped", "in-order", "anywhere"):
            if name == "served" and what != "mapped":
                continue
            machine.warm(*below)
            if what == "mapped":
                machine.claim_memory(2 * LARGE_MEBIBYTES)
            repeats = 1 if what == "mapped" else REPEATS
            took[what] = statistics.median(machine.probed(what, f"{mount.target}/file", READS) for _ in range(repeats))
        return took


class Small:
    """A layer of twenty thousand small files."""

    STEPS = {"find, cold": (1.1, 1.5, "4"), "find, warm": (0.9, 1.3, "4"), "grep -r, first": (1.4, 1.6, "5"), "grep -r, second": (1.05, 1.1, "6")}

    def __init__(self, report):
        self.report = report
        self.rows = {("lazy", step): report.row(number, f"{step} / overlayfs (time)", "<=", limit) for step, (limit, _, number) in self.STEPS.items()}
        self.rows |= {("overlayfs on lazy", step): report.row("7", f"{step}, behind overlayfs / overlayfs (time)", "<=", limit)
                      for step, (_, limit, _) in self.STEPS.items()}

    def measure(self, machine, rounds):
        files, layer = machine.path("small"), machine.path("small.tar.gz")
        small_files(files, SMALL_FILES)
        make_layer(machine, files, layer, packed=True)
        cache = machine.path("small-cache")
        lazy = Lazy(machine, "small-lazy", layer, cache)
        kinds = {"overlayfs": Overlay(machine, "small-overlay", files), "lazy": lazy,
                 "overlayfs on lazy": Overlay(machine, "small-over-lazy", Lazy(machine, "small-below", layer, cache))}
        fill(machine, lazy)
        for number in range(rounds):
            took = {}
            for name in turns(list(kinds), number):
                below = [files] if name == "overlayfs" else lazy.archives
                took[name] = self.sample(machine, kinds[name], below)
            for (name, step), row in self.rows.items():
                row.add(took[name][step] / took["overlayfs"][step])
            for name, values in took.items():
                for step, value in values.items():
                    self.report.time(f"{SMALL_FILES} files, {step}", name, value)

    def sample(self, machine, mount, below):
        """Cold: a mount that nobody has used, without a name in the kernel's caches; what lies below is in the page cache."""
        took = {}
        for tool, line in (("find", f"find {mount.target} -printf '%s\\n'"), ("grep -r", f"grep -r needle7777 {mount.target} || [ $? = 1 ]")):
            machine.warm(*below)
            machine.forget_names()
            mount.up()
            try:
                # The mount itself is not what is measured.
                os.stat(mount.target)
                for time in ("cold", "warm") if tool == "find" else ("first", "second"):
                    took[f"{tool}, {time}"] = machine.seconds(line)
            finally:
                mount.down()
        return took
