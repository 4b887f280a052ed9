"""Ways to show a directory, or a layer, at a mount point."""
import glob
import json
import os
import subprocess

from machine import Failed


class Overlay:
    """The kernel's overlayfs over a directory, or over what another mount shows."""

    def __init__(self, machine, name, lower):
        self.machine, self.lower = machine, lower
        self.target, self.empty = machine.directory(name), machine.directory(name + "-empty")
        self.base = machine.path(name + "-data")
        self.below = lower if not isinstance(lower, str) else None

    def up(self, writable=False):
        if self.below:
            self.below.up()
        lower = self.below.target if self.below else self.lower
        options = f"lowerdir={lower}:{self.empty}"
        if writable:
            options = f"lowerdir={lower},upperdir={self.base}/upper,workdir={self.base}/work"
            os.makedirs(f"{self.base}/upper")
            os.makedirs(f"{self.base}/work")
        self.machine.run(["mount", "-t", "overlay", "overlay", "-o", options, self.target])

    def down(self):
        self.machine.unmount(self.target)
        if self.below:
            self.below.down()


class Lazy:
    """One layer, by `containerd-ref index mount`: what is in its cache is read from there, or by the kernel itself out of `files`."""

    def __init__(self, machine, name, layer, cache, files=None):
        self.machine, self.layer, self.cache, self.files = machine, layer, cache, files
        self.target, self.name = machine.directory(name), name
        self.opens = ""

    def up(self):
        options = ["--files", self.files] if self.files else []
        self.log = open(self.machine.path(self.name + ".log"), "w+")
        self.server = self.machine.start(
            [self.machine.program, "index", "mount", "--cache", self.cache, *options, self.layer + ".idx", self.layer, self.target],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        if "files of" not in self.server.stdout.readline():
            self.log.seek(0)
            raise Failed(f"{self.layer} cannot be mounted: {self.log.read().strip()[-400:]}")

    def down(self):
        self.machine.unmount(self.target)
        self.opens = self.server.stdout.read().strip()
        self.machine.stop(self.server)
        self.log.close()

    @property
    def said(self):
        """What it has told so far."""
        with open(self.log.name) as log:
            return log.read()

    @property
    def archives(self):
        """Where the bytes are that it has unpacked."""
        return glob.glob(f"{self.cache}/layers/*/*/archive")


class Union:
    """A writable union in FUSE: ours (`containerd-ref snapshotter union`) or fuse-overlayfs."""

    def __init__(self, machine, name, lower, ours):
        self.machine, self.lower, self.ours, self.name = machine, lower, ours, name
        self.target, self.base = machine.directory(name), machine.path(name + "-data")

    def up(self, writable=True):
        os.makedirs(f"{self.base}/upper")
        os.makedirs(f"{self.base}/work")
        if self.ours:
            # As the snapshotter has made it when a layer was committed.
            self.machine.run([self.machine.program, "snapshotter", "catalog", self.lower, f"{self.base}/catalog"])
            with open(f"{self.base}/layers", "w") as file:
                json.dump({"lowers": [self.lower], "catalogs": [f"{self.base}/catalog"], "upper": f"{self.base}/upper", "work": f"{self.base}/work", "usesUserAttributes": False}, file)
            command = [self.machine.program, "snapshotter", "union", "--layers", f"{self.base}/layers", self.target]
        else:
            command = ["fuse-overlayfs", "-f", "-o", f"lowerdir={self.lower},upperdir={self.base}/upper,workdir={self.base}/work", self.target]
        self.server = self.machine.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.machine.wait_until(f"{self.name} is mounted", lambda: os.path.ismount(self.target) or self.server.poll() is not None)
        if self.server.poll() is not None:
            raise Failed(f"{self.name} ended with {self.server.returncode}")

    def down(self):
        self.machine.unmount(self.target)
        self.machine.stop(self.server)
