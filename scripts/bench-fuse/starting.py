"""Rows 10, 11 and 13: an image that is pulled lazily, beside the same one pulled as ever, from a registry at the speed of a slow line."""
import os
import random
import re
import time

from machine import Failed
from daemons import Containerd, Registry
from trees import Image, text_pool

SPEED = 12_500_000  # bytes per second: 100 Mbit/s
NOISE_FILES, NOISE_SIZE = 200, 1 << 20
TEXT_FILES, TEXT_SIZE = 4_000, 80_000
# What the program reads before it says something.
WANTED_NOISE, WANTED_DIRECTORIES, WANTED_SCATTERED = 10, 1, 20

START = "set -e\nfor file in $(cat /wanted); do cat $file; done | wc -c\n"
EVERYTHING = "find / -xdev -type f -exec cat {} + | wc -c\n"


class Built:
    """Half a gigabyte: a shell, files that do not pack, files of text that do."""

    def __init__(self, machine):
        self.tree = machine.directory("image-tree")
        chance = random.Random(3)
        base, noise, text = (f"{self.tree}/{name}" for name in ("base", "noise", "text"))
        os.makedirs(f"{base}/bin")
        for name in ("proc", "sys", "dev", "tmp", "etc"):
            os.makedirs(f"{base}/{name}")
        machine.run(["cp", "/bin/busybox", f"{base}/bin/busybox"])
        for name in ("sh", "cat", "find", "wc"):
            os.symlink("busybox", f"{base}/bin/{name}")
        os.makedirs(f"{noise}/data")
        for number in range(NOISE_FILES):
            with open(f"{noise}/data/n{number:03}", "wb") as file:
                file.write(os.urandom(NOISE_SIZE))
        pool = text_pool(chance, 8 << 20)
        for number in range(TEXT_FILES):
            os.makedirs(f"{text}/lib/d{number // 100:02}", exist_ok=True)
            start = chance.randrange(len(pool) - TEXT_SIZE)
            with open(f"{text}/lib/d{number // 100:02}/t{number:04}", "wb") as file:
                file.write(pool[start:start + TEXT_SIZE])
        wanted = [f"/data/n{number:03}" for number in sorted(chance.sample(range(NOISE_FILES), WANTED_NOISE))]
        for directory in chance.sample(range(TEXT_FILES // 100), WANTED_DIRECTORIES):
            wanted += [f"/lib/d{directory:02}/t{directory * 100 + place:04}" for place in range(100)]
        wanted += [f"/lib/d{number // 100:02}/t{number:04}" for number in chance.sample(range(TEXT_FILES), WANTED_SCATTERED)]
        for name, content in (("wanted", "\n".join(wanted) + "\n"), ("start", START), ("everything", EVERYTHING)):
            with open(f"{base}/{name}", "w") as file:
                file.write(content)
        self.size = NOISE_FILES * NOISE_SIZE + TEXT_FILES * TEXT_SIZE
        sizes = {"n": NOISE_SIZE, "t": TEXT_SIZE}
        self.wanted = sum(sizes[os.path.basename(path)[0]] for path in wanted)
        self.image = Image(machine.path("image"))
        for directory in (base, noise, text):
            machine.run(f"tar -C {directory} --sort=name --owner=0 --group=0 --mtime=@1700000000 -cf {directory}.tar .")
            with open(f"{directory}.tar", "rb") as file:
                self.image.add(file.read())
            os.unlink(f"{directory}.tar")
        self.image.close()
        self.packed = sum(layer["size"] for layer in self.image.layers)


def push(machine, path, registry, name):
    machine.run(["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{path}:latest", f"docker://{registry.address}/{name}:latest"])
    return f"{registry.address}/{name}:latest"


class Stage:
    """What rows 10 to 14 stand on. Made once."""

    def __init__(self, machine):
        root = machine.directory("registry")
        self.fast, self.slow = Registry(machine, root), Registry(machine, root, SPEED)
        self.containerd = Containerd(machine)
        self.built = Built(machine)
        self.fast_name = push(machine, self.built.image.path, self.fast, "app")
        self.slow_name = self.fast_name.replace(self.fast.address, self.slow.address)


class Starting:
    def __init__(self, report):
        self.report = report
        self.start = report.row("10", "lazy pull to the program's first output / whole pull and start (time)", "<=", 0.2)
        self.everything = report.row("11", "lazy pull and read everything / whole pull and read everything (time)", "<=", 1.1)
        self.overhead = report.row("13", "ordinary pull by which an index is made / pull by overlayfs, unthrottled (time)", "<=", 1.05)
        self.sizes = {span: report.row("13", f"index, spans of {span} MiB / layer (bytes)", "<=", limit, " %") for span, limit in ((1, 3.2), (4, 1.0))}
        self.rows = [self.start, self.everything]
        self.cost_rows = [self.overhead, *self.sizes.values()]

    # row 13

    def measure_cost(self, machine, stage, rounds):
        self.measure_sizes(machine, stage)
        for number in range(rounds):
            took = {}
            for lazily in ((True, False), (False, True))[number % 2]:
                took[lazily] = self.ordinary_pull(machine, stage, lazily)
            self.overhead.add(took[True] / took[False])
            self.report.time("ordinary pull of 0.5 GB, unthrottled", "ours", took[True])
            self.report.time("ordinary pull of 0.5 GB, unthrottled", "overlayfs", took[False])

    def measure_sizes(self, machine, stage):
        layers = stage.built.image.layers[1:]
        for span, row in self.sizes.items():
            size = 0
            for layer in layers:
                path = machine.path("layer.idx")
                machine.run([machine.program, "index", "build", "--span", str(span << 20), "-o", path, stage.built.image.blob(layer)])
                size += os.stat(path).st_size
            row.add(100 * size / sum(layer["size"] for layer in layers))

    def ordinary_pull(self, machine, stage, ours):
        """Leaves the indexes, if it is ours that pulls."""
        containerd = stage.containerd
        if ours:
            for path in containerd.indexes():
                os.unlink(path)
        machine.run("sync")
        begun = time.monotonic()
        containerd.ctr("images", "pull", "--plain-http", "--snapshotter", containerd.LAZY if ours else containerd.EAGER, stage.fast_name)
        took = time.monotonic() - begun
        if ours:
            if containerd.is_lazy():
                raise Failed("what should have been an ordinary pull was lazy")
            # They get what nobody else wants of the machine: on a busy one that is little.
            machine.wait_until("the indexes are made", lambda: len(containerd.indexes()) == len(stage.built.image.layers), patience=900)
            self.report.time("from the end of that pull to its indexes", "ours", time.monotonic() - begun - took)
        containerd.remove(stage.fast_name)
        return took

    # rows 10 and 11

    def measure(self, machine, stage, rounds):
        self.report.fact("image, MB unpacked", round(stage.built.size / 1e6))
        self.report.fact("image, MB packed", round(stage.built.packed / 1e6))
        self.report.fact("read before the first output, % of the bytes", round(100 * stage.built.wanted / stage.built.size, 1))
        if len(stage.containerd.indexes()) < len(stage.built.image.layers):
            self.ordinary_pull(machine, stage, ours=True)
        for number in range(rounds):
            eager = self.eager(machine, stage, number)
            start = self.lazy(machine, stage, number, "start")
            everything = self.lazy(machine, stage, number, "everything")
            self.start.add(start / eager["start"])
            self.everything.add(everything / eager["everything"])
            for what, lazy in (("start", start), ("everything", everything)):
                self.report.time(f"pull and {what}, 100 Mbit/s", "lazy", lazy)
                self.report.time(f"pull and {what}, 100 Mbit/s", "eager", eager[what])

    def eager(self, machine, stage, number):
        begun = time.monotonic()
        stage.containerd.pull(stage.slow_name, lazily=False)
        pulled = time.monotonic() - begun
        took = {}
        for what in ("start", "everything"):
            spoken, _, said = stage.containerd.run(stage.slow_name, False, f"bench-eager-{what}-{number}", "/bin/sh", f"/{what}")
            self.check(stage, what, said)
            took[what] = pulled + spoken
        stage.containerd.remove(stage.slow_name)
        return took

    def lazy(self, machine, stage, number, what):
        before = self.fetched(stage)
        begun = time.monotonic()
        stage.containerd.pull(stage.slow_name, lazily=True)
        pulled = time.monotonic() - begun
        if not stage.containerd.is_lazy():
            raise Failed("rpull was not lazy: " + open(machine.path("snapshotter.log")).read()[-300:])
        spoken, _, said = stage.containerd.run(stage.slow_name, True, f"bench-lazy-{what}-{number}", "/bin/sh", f"/{what}")
        self.check(stage, what, said)
        self.report.time(f"lazy {what}: rpull alone, 100 Mbit/s", "lazy", pulled)
        self.report.fact(f"fetched by the end of lazy {what}, % of the packed image", round(100 * (self.fetched(stage) - before) / stage.built.packed, 1))
        stage.containerd.remove(stage.slow_name)
        return pulled + spoken

    @staticmethod
    def check(stage, what, said):
        """The program has counted what it read."""
        if what == "start" and int(said) != stage.built.wanted or int(said) < stage.built.wanted:
            raise Failed(f"/{what} has read {said.strip()} bytes")

    @staticmethod
    def fetched(stage):
        """Bytes that the slow registry has sent, by its log: "… sent=N …"."""
        if not os.path.exists(stage.slow.access):
            return 0
        with open(stage.slow.access) as file:
            return sum(int(found) for found in re.findall(r" sent=(\d+)", file.read()))
