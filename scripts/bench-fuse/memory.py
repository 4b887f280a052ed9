"""Row 14: what the server's memory is with ten layers of twenty thousand files each, every one of them looked at."""
import re
import time

from machine import Failed
from starting import push
from survival import Survival
from trees import Image, bare_layer

LAYERS, FILES = 10, 20_000


class Memory:
    def __init__(self, report):
        self.report = report
        self.resident = report.row("14", f"memory of the server, {LAYERS} layers of {FILES} files", "<=", 64, " MiB")
        self.private = report.row("14", "of that, its own (the rest is mapped files)", "<=", 64, " MiB")
        self.after = report.row("14", "the same after an upgrade", "<=", 64, " MiB")
        self.rows = [self.resident, self.private, self.after]

    def measure(self, machine, stage):
        containerd, target = stage.containerd, machine.path("memory")
        image = Image(machine.path("memory-image"))
        for number in range(LAYERS):
            # Nobody reads them: an index as the first pull would make it is all that is needed.
            blob = image.blob(image.add(bare_layer(number, FILES), level=1))
            machine.directory("fuse-root/indexes/sha256")
            machine.run([machine.program, "index", "build", "-o", f"{containerd.root}/indexes/sha256/{blob.rsplit('/', 1)[1]}.idx", blob])
        image.close()
        name = push(machine, image.path, stage.fast, "memory")
        # A worker that has done nothing else.
        self.replace(machine, containerd)
        before = self.memory(containerd)
        containerd.pull(name, lazily=True)
        containerd.mount("bench-memory", image.chain(), target)
        try:
            found = int(machine.run(f"find {target} -type f -printf '%s\\n' | wc -l"))
            if found != LAYERS * FILES:
                raise Failed(f"{found} files are there")
            self.report.fact("memory of the server before, MiB", round(before["VmRSS"], 1))
            time.sleep(1)
            now = self.memory(containerd)
            self.resident.add(now["VmRSS"])
            self.resident.note = f"{now['RssAnon']:.0f} its own, {now['RssFile']:.0f} mapped files, {now['RssShmem']:.0f} shared; at most {now['VmHWM']:.0f}"
            self.private.add(now["RssAnon"])
            self.replace(machine, containerd)
            machine.run(f"find {target} -type f -newermt 2100-01-01")
            now = self.memory(containerd)
            self.after.add(now["VmRSS"])
            self.after.note = f"{now['RssAnon']:.0f} its own, at most {now['VmHWM']:.0f}"
        finally:
            containerd.unmount("bench-memory", target)
            containerd.remove(name)

    @staticmethod
    def replace(machine, containerd):
        time.sleep(1.1)
        before = containerd.worker()
        Survival.upgrade(containerd, before)
        machine.wait_until("another worker serves", lambda: containerd.worker() not in (None, before))
        containerd.ctr("snapshots", "--snapshotter", containerd.LAZY, "ls")

    @staticmethod
    def memory(containerd):
        """In MiB, as proc(5) has it."""
        with open(f"/proc/{containerd.worker()}/status") as file:
            return {name: int(size) / 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.M)}
