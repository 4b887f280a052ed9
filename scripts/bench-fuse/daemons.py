"""A registry, Debian's containerd and our snapshotter as a plugin of it."""
import glob
import os
import re
import subprocess
import time

from machine import Failed

CONFIGURATION = """version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket}"
[proxy_plugins.stargz]
  type = "snapshot"
  address = "{snapshotter}"
"""


class Registry:
    """One directory may be served by several, each at its own speed."""

    def __init__(self, machine, root, throttle=None):
        options = ["--throttle", str(throttle)] if throttle else []
        self.log = machine.path(f"registry{throttle or ''}.log")
        self.access = machine.path(f"registry{throttle or ''}.access")
        self.server = machine.start(
            [machine.program, "registry", "serve", "--root", root, "--listen", "127.0.0.1:0", "--access-log", self.access, *options],
            stdout=subprocess.PIPE, stderr=open(self.log, "w"), text=True)
        found = re.search(r"127\.0\.0\.1:\d+", self.server.stdout.readline())
        if not found:
            raise Failed(f"no registry: {open(self.log).read()[-300:]}")
        self.address = found[0]


class Containerd:
    """`stargz` is what ctr-remote calls the snapshotter that it asks."""

    LAZY, EAGER = "stargz", "overlayfs"

    def __init__(self, machine):
        self.machine = machine
        self.socket, self.snapshotter_socket = machine.path("c/s"), machine.path("f/s")
        self.root = machine.directory("fuse-root")
        machine.directory("c"), machine.directory("f")
        with open(machine.path("containerd.toml"), "w") as file:
            file.write(CONFIGURATION.format(root=machine.path("containerd-root"), state=machine.path("c/state"), socket=self.socket, snapshotter=self.snapshotter_socket))
        self.log = open(machine.path("containerd.log"), "w")
        self.server = machine.start(["containerd", "--config", machine.path("containerd.toml")], stdout=self.log, stderr=self.log)
        machine.wait_until("containerd answers", lambda: subprocess.run(["ctr", "-a", self.socket, "version"], capture_output=True).returncode == 0, pause=0.1)
        self.supervisor = machine.start(
            [machine.program, "snapshotter", "serve", "--backend", "fuse", "--root", self.root, "--address", self.snapshotter_socket, "--containerd", self.socket],
            stdout=open(machine.path("snapshotter.log"), "w"), stderr=subprocess.STDOUT)
        machine.wait_until("the snapshotter answers", lambda: os.path.exists(self.snapshotter_socket))
        self.ctr("snapshots", "--snapshotter", self.LAZY, "ls")

    def ctr(self, *words):
        return self.machine.run(["ctr", "-a", self.socket, *words])

    @staticmethod
    def serves(pid):
        try:
            with open(f"/proc/{pid}/comm") as file:
                return file.read().strip() != "ref-standby"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def worker(self):
        """The child that serves, not the one that stands by. None while there is none, or two."""
        try:
            # A child belongs to the thread that started it, as long as that lives.
            children = []
            for thread in os.listdir(f"/proc/{self.supervisor.pid}/task"):
                with open(f"/proc/{self.supervisor.pid}/task/{thread}/children") as file:
                    children += [child for child in file.read().split() if self.serves(child)]
        except (FileNotFoundError, ProcessLookupError):
            if self.supervisor.poll() is None:
                # A thread has ended meanwhile.
                return None
            raise Failed(f"the snapshotter has ended: {open(self.machine.path('snapshotter.log')).read()[-400:]}") from None
        return int(children[0]) if len(children) == 1 else None

    def pull(self, image, lazily):
        if lazily:
            self.machine.run(["ctr-remote", "-a", self.socket, "images", "rpull", "--plain-http", image])
        else:
            self.ctr("images", "pull", "--plain-http", "--snapshotter", self.EAGER, image)

    def is_lazy(self):
        return bool(glob.glob(f"{self.root}/snapshots/*/lazy.json"))

    def run(self, image, lazily, name, *command):
        """Runs a container. Seconds to its first output, and to its end."""
        begun = time.monotonic()
        words = ["ctr", "-a", self.socket, "run", "--rm", "--snapshotter", self.LAZY if lazily else self.EAGER, image, name, *command]
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first = running.stdout.readline()
        spoken = time.monotonic() - begun
        rest, said = running.communicate()
        if running.returncode != 0 or not first:
            raise Failed(f"{' '.join(words)}: {said.strip()[-300:]}")
        return spoken, time.monotonic() - begun, first + rest

    def remove(self, image):
        """The image and everything that was made of it; its indexes stay."""
        self.ctr("images", "rm", "--sync", image)
        self.machine.wait_until("every layer is gone", lambda: not self.ctr("content", "ls", "-q").strip() and not glob.glob(f"{self.root}/snapshots/*/fs"), pause=0.2)

    def indexes(self):
        return glob.glob(f"{self.root}/indexes/sha256/*.idx")

    def mount(self, key, chain, target):
        """What a container would have: a writable snapshot, mounted."""
        self.ctr("snapshots", "--snapshotter", self.LAZY, "prepare", key, chain)
        os.makedirs(target, exist_ok=True)
        self.machine.run(self.ctr("snapshots", "--snapshotter", self.LAZY, "mounts", target, key))

    def unmount(self, key, target):
        self.machine.unmount(target)
        self.ctr("snapshots", "--snapshotter", self.LAZY, "rm", key)
