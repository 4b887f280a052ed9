#!/usr/bin/env python3
"""A load on a container's files, for survival.py: one process that reads or writes until it is told to end.

usage: load.py read|write MOUNT SOURCE SEED    Prints a JSON object at SIGTERM: operations, failures, and every operation that took long.
"""
import json
import os
import random
import signal
import sys
import time

LONG = 0.004  # seconds; shorter operations are not listed


class Load:
    def __init__(self, mount, source, seed):
        self.mount, self.source = mount, source
        self.chance = random.Random(seed)
        self.operations, self.failures, self.long = 0, [], []
        self.files = sorted(os.path.relpath(os.path.join(at, name), source) for at, _, names in os.walk(source) for name in names)
        self.ended = False

    def end(self, *_):
        self.ended = True

    def once(self, operation):
        begun = time.monotonic()
        try:
            what = operation()
        except OSError as error:
            what = f"{error}"
        took = time.monotonic() - begun
        self.operations += 1
        if what:
            self.failures.append(what)
        if took > LONG:
            self.long.append((begun, took))

    def read(self):
        """A piece of a file that is not in the page cache, compared with the original."""
        name = self.chance.choice(self.files)
        file = os.open(f"{self.mount}/{name}", os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            offset = self.chance.randrange(max(1, os.fstat(file).st_size))
            data = os.pread(file, 1 << 16, offset)
        finally:
            os.close(file)
        with open(f"{self.source}/{name}", "rb") as original:
            original.seek(offset)
            if original.read(1 << 16) != data:
                return f"{name}: other bytes at {offset}"
        return None

    def list(self):
        directory = os.path.dirname(self.chance.choice(self.files))
        there = set(os.listdir(f"{self.mount}/{directory}"))
        missing = [name for name in os.listdir(f"{self.source}/{directory}") if name not in there]
        return f"{directory}: {missing[0]} is missing" if missing else None

    def write(self):
        """A new file, and a change to one of the image's, which is copied up."""
        name, data = f"{self.mount}/tmp/{os.getpid()}-{self.operations % 50}", os.urandom(1 << 15)
        with open(name, "wb") as file:
            file.write(data)
        with open(name, "rb") as file:
            if file.read() != data:
                return f"{name}: other bytes than were written"
        below = self.chance.choice(self.files)
        with open(f"{self.mount}/{below}", "r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(first)
        return None

    def run(self, kind):
        signal.signal(signal.SIGTERM, self.end)
        steps = [self.read, self.read, self.read, self.list] if kind == "read" else [self.write]
        print("ready", flush=True)
        while not self.ended:
            self.once(self.chance.choice(steps))
            if kind == "write":
                time.sleep(0.002)
        print(json.dumps({"operations": self.operations, "failures": self.failures, "long": self.long}))


if __name__ == "__main__":
    Load(sys.argv[2], sys.argv[3], int(sys.argv[4])).run(sys.argv[1])
