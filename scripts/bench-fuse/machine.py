"""The machine: programs, time, caches, and putting everything back at the end."""
import os
import shutil
import signal
import subprocess
import tempfile
import time


class Failed(Exception):
    """A row cannot be measured; says why."""


class Machine:
    """What a run has started and mounted lies below one directory of its own, and goes with it."""

    def __init__(self, program, probe, log):
        self.program, self.probe = program, probe
        self.scratch = tempfile.mkdtemp(prefix="bench-fuse.", dir=os.environ.get("BENCH_TMP", "/var/tmp"))
        self.log = log
        self.servers = []

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def directory(self, *names):
        os.makedirs(self.path(*names), exist_ok=True)
        return self.path(*names)

    # programs

    def run(self, command, **options):
        """A list of words, or a line for a shell. Its output; Failed with its last words if it fails."""
        done = subprocess.run(command, shell=isinstance(command, str), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        if done.returncode != 0:
            raise Failed(f"{command if isinstance(command, str) else ' '.join(command)}: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout

    def seconds(self, command):
        """How long a command takes whose output nobody wants."""
        begun = time.monotonic()
        done = subprocess.run(command, shell=isinstance(command, str), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        took = time.monotonic() - begun
        if done.returncode != 0:
            raise Failed(f"{command if isinstance(command, str) else ' '.join(command)}: {done.stderr.strip()[-400:]}")
        return took

    def probed(self, *words):
        return float(self.run([self.probe, *map(str, words)]))

    def start(self, command, **options):
        server = subprocess.Popen(command, **options)
        self.servers.append(server)
        return server

    def stop(self, server, number=signal.SIGTERM, patience=15):
        if server.poll() is None:
            server.send_signal(number)
            try:
                server.wait(patience)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        if server in self.servers:
            self.servers.remove(server)

    def wait_until(self, what, condition, patience=30, pause=0.01):
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"waited {patience} s in vain until {what}")
            time.sleep(pause)

    # the scheduler

    def real_time(self, wanted):
        """Nobody else's work between two of ours, where that is permitted. Whether it is."""
        try:
            if wanted:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
            else:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            return wanted
        except PermissionError:
            return False

    # caches

    def warm(self, *paths):
        """Into the page cache: what the machine has evicted since is no measurement of ours."""
        for path in paths:
            self.run(f"find {path} -type f -print0 | xargs -0 -r cat >/dev/null")

    def claim_memory(self, mebibytes):
        """A host takes free memory back, and what is given to the next who needs some comes from there: no measurement of ours either."""
        self.probed("claim", mebibytes)

    def forget_names(self):
        """Dentries and inodes go; the page cache stays."""
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")

    # mounts

    def mounts(self):
        with open("/proc/self/mounts") as file:
            targets = [line.split()[1].replace("\\040", " ") for line in file]
        return [target for target in targets if target.startswith(self.scratch + "/")]

    def unmount(self, target):
        for _ in range(100):
            if subprocess.run(["umount", target], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.02)
        raise Failed(f"{target} stays in use")

    # the end

    def processes(self):
        """Those that were told of a path of ours: servers, and what they have started."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        if (self.scratch + "/").encode() in file.read():
                            found.append(int(name))
                except OSError:
                    pass
        return found

    def end(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for server in reversed(list(self.servers)):
            self.stop(server, patience=5)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes():
                try:
                    os.kill(process, number)
                except ProcessLookupError:
                    pass
            for _ in range(30):
                if not self.processes():
                    break
                time.sleep(0.1)
        for target in reversed(self.mounts()):
            subprocess.run(["umount", "-l", target], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.scratch, ignore_errors=True)
