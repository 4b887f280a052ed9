#!/usr/bin/env python3
# Compares the union with fuse-overlayfs and with the kernel's overlayfs, in turns, and prints the union's time as a part of theirs.
# usage: bench.py mount-union [files=4000] [rounds=2] [only=union,overlay,...] [in=directory] [fifo=1: with real-time priority, where others use the machine]
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
FILES, ROUNDS = int(settings.get("files", 4000)), int(settings.get("rounds", 2))
KINDS = settings.get("only", "union,union-cached,fuse-overlayfs,overlay").split(",")
if settings.get("fifo"):
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
CREATE = """import os, sys
for i in range(int(sys.argv[2])):
    f = os.open(f"{sys.argv[1]}/{i}", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(f, b"x" * 1024)
    os.close(f)
"""
TARGETS = {"untar": 0.7, "create": 0.7, "cp -r": 0.7, "rm -r copy": 0.5, "rm -r lower": 0.15, "find lower": 0.25, "grep -r lower": 0.25}


def run(command):
    start = time.monotonic()
    subprocess.run(command, shell=True, check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def make_tree(path):
    chance = random.Random(1)
    made = 0
    while made < FILES:
        directory = f"{path}/d{made // 180 % 10}/e{made // 18}"
        os.makedirs(directory, exist_ok=True)
        for i in range(18):
            with open(f"{directory}/f{i}", "wb") as file:
                file.write(chance.randbytes(chance.choice((200, 1500, 4000, 9000))))
            made += 1
        os.symlink("f1", f"{directory}/s")


def mount(kind, program, base):
    for name in ("lower", "upper", "work", "mount"):
        os.makedirs(f"{base}/{name}", exist_ok=True)
    parts = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    if kind == "overlay":
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", parts, f"{base}/mount"], check=True)
        return None
    if kind.startswith("union"):
        command = [program, *(["-p"] if kind == "union" else []), f"{base}/lower", f"{base}/upper", f"{base}/work", f"{base}/mount"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    else:
        server = subprocess.Popen(["fuse-overlayfs", "-f", "-o", parts, f"{base}/mount"], stderr=subprocess.DEVNULL)
    while not os.path.ismount(f"{base}/mount"):
        time.sleep(0.01)
    return server


def main():
    base = tempfile.mkdtemp(prefix="union-bench-", dir=settings.get("in"))
    os.mkdir(f"{base}/tree")
    make_tree(f"{base}/tree")
    subprocess.run(["tar", "-C", f"{base}/tree", "-cf", f"{base}/tree.tar", "."], check=True)
    results = {}
    for number in range(ROUNDS):
        for kind in KINDS if number % 2 == 0 else KINDS[::-1]:
            here = f"{base}/{kind}"
            os.makedirs(f"{here}/lower")
            subprocess.run(["cp", "-a", f"{base}/tree", f"{here}/lower/tree"], check=True)
            run(f"grep -r needle7 {here}/lower")
            server = mount(kind, sys.argv[1], here)
            m = f"{here}/mount"
            for name, command in (
                ("find lower", f"find {m}/tree -printf '%s\\n'"),
                ("grep -r lower", f"grep -r needle7 {m}/tree"),
                ("grep -r again", f"grep -r needle7 {m}/tree"),
                ("untar", f"mkdir {m}/x && tar -C {m}/x -xf {base}/tree.tar"),
                ("create", f"mkdir {m}/many; python3 -c '{CREATE}' {m}/many {FILES // 4}"),
                ("cp -r", f"cp -r {m}/tree {m}/copy"),
                ("rm -r copy", f"rm -rf {m}/copy"),
                ("chmod -R lower", f"chmod -R g+w {m}/tree/d0"),
                ("rm -r lower", f"rm -rf {m}/tree"),
                ("write 512M", f"dd if=/dev/zero of={m}/big bs=1M count=512 status=none"),
                ("read 512M", f"cat {m}/big"),
            ):
                results.setdefault(name, {}).setdefault(kind, []).append(run(command))
            subprocess.run(["umount", m], check=True)
            if server:
                server.wait()
            shutil.rmtree(here)
    print(f"{'':15}" + "".join(f"{kind:>16}" for kind in KINDS) + "   union / others")
    for name, times in results.items():
        ratios = []
        for other in KINDS:
            if not other.startswith("union") and "union" in times:
                ratio = statistics.median(a / b for a, b in zip(times["union"], times[other]))
                ratios.append(f"{ratio:.2f} {other}" + (f" (aim {TARGETS[name]})" if other == "fuse-overlayfs" and name in TARGETS else ""))
        print(f"{name:15}" + "".join(f"{statistics.median(times[kind]):14.3f} s" for kind in KINDS) + "   " + ", ".join(ratios))
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
