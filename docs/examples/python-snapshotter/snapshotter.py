#!/usr/bin/python3
"""A whole snapshotter in one file: overlay mounts, metadata in SQLite, containerd's snapshot service on a Unix socket.

    snapshotter.py --root DIRECTORY --socket SOCKET
"""

import argparse
import errno
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from concurrent import futures

import grpc

import api
import filters

Code = grpc.StatusCode
LABEL_LIMIT = 4096


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def in_user_namespace():
    """Whether this process is root of a user namespace only: the machine's own maps every id to itself."""
    with open("/proc/self/uid_map") as ids:
        return ids.read().split() != ["0", "0", "4294967295"]


class Store:
    """What snapshots there are, and where their files lie: ROOT/ID/fs, and for overlay's own use ROOT/ID/work."""

    def __init__(self, root):
        self.root = root
        self.overlay_options = ["index=off"]
        if in_user_namespace():
            # The trusted.* attributes by which overlay marks directories are root's of the machine: here it must use user.* instead.
            self.overlay_options.append("userxattr")
        self.lock = threading.Lock()
        os.makedirs(root, mode=0o700, exist_ok=True)
        # Answers promise that what they say will be there after a crash: SQLite waits for the disk at the end of a transaction.
        self.db = sqlite3.connect(os.path.join(root, "metadata.db"), check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = full")
        self.db.execute(
            "create table if not exists snapshots (id integer primary key autoincrement, name text unique not null, parent text not null,"
            " kind text not null, labels text not null, created integer not null, updated integer not null)"
        )
        self.sweep()

    # Each method below is called with the lock held, inside a transaction.

    def get(self, name):
        row = self.db.execute("select * from snapshots where name = ?", (name,)).fetchone()
        if row is None:
            raise Refused(Code.NOT_FOUND, f"snapshot {name!r} does not exist")
        return row

    def all(self):
        return self.db.execute("select * from snapshots order by id").fetchall()

    def make(self, key, parent, kind, labels):
        if not key:
            raise Refused(Code.INVALID_ARGUMENT, "a key must not be empty")
        check_labels(labels)
        self.expect_free(key)
        below = self.get(parent) if parent else None
        if below is not None and below["kind"] != "committed":
            raise Refused(Code.FAILED_PRECONDITION, f"parent {parent!r} is {below['kind']}: only a committed snapshot can be one")
        now = time.time_ns()
        self.db.execute(
            "insert into snapshots (name, parent, kind, labels, created, updated) values (?, ?, ?, ?, ?, ?)",
            (key, parent, kind, json.dumps(labels), now, now),
        )
        row = self.get(key)
        files = self.files(row)
        os.makedirs(files, mode=0o755)
        os.mkdir(os.path.join(os.path.dirname(files), "work"), mode=0o711)
        if below is not None:
            # The root of the tree is a directory like any other: it looks as it did in the parent.
            status = os.stat(self.files(below))
            os.chown(files, status.st_uid, status.st_gid)
            os.chmod(files, status.st_mode & 0o7777)
        return self.mounts(row)

    def commit(self, name, key, labels):
        if not name:
            raise Refused(Code.INVALID_ARGUMENT, "a name must not be empty")
        check_labels(labels)
        row = self.get(key)
        if row["kind"] != "active":
            raise Refused(Code.FAILED_PRECONDITION, f"snapshot {key!r} is {row['kind']}: only an active one can be committed")
        self.expect_free(name)
        now = time.time_ns()
        self.db.execute(
            "update snapshots set name = ?, kind = 'committed', labels = ?, created = ?, updated = ? where id = ?",
            (name, json.dumps(labels), now, now, row["id"]),
        )

    def remove(self, key):
        row = self.get(key)
        child = self.db.execute("select name from snapshots where parent = ?", (key,)).fetchone()
        if child is not None:
            raise Refused(Code.FAILED_PRECONDITION, f"snapshot {key!r} has children, {child['name']!r} for one")
        self.db.execute("delete from snapshots where id = ?", (row["id"],))

    def update(self, name, labels, paths):
        row = self.get(name)
        changed = json.loads(row["labels"])
        for path in paths or ["labels"]:
            if path == "labels":
                changed = dict(labels)
            elif path.startswith("labels.") and len(path) > len("labels."):
                label = path[len("labels.") :]
                changed[label] = labels.get(label, "")
                if not changed[label]:
                    del changed[label]
            else:
                raise Refused(Code.INVALID_ARGUMENT, f"{path!r} of a snapshot cannot be changed, only labels can")
        check_labels(changed)
        self.db.execute("update snapshots set labels = ?, updated = ? where id = ?", (json.dumps(changed), time.time_ns(), row["id"]))
        return self.get(name)

    def expect_free(self, name):
        if self.db.execute("select 1 from snapshots where name = ?", (name,)).fetchone():
            raise Refused(Code.ALREADY_EXISTS, f"snapshot {name!r} exists")

    def files(self, row):
        return os.path.join(self.root, str(row["id"]), "fs")

    def mounts(self, row):
        """A function of what is stored: the same each time, until the snapshot is committed or removed."""
        if row["kind"] == "committed":
            raise Refused(Code.FAILED_PRECONDITION, f"snapshot {row['name']!r} is committed: it has no mounts")
        below, parent = [], row["parent"]
        while parent:
            parent_row = self.get(parent)
            below.append(self.files(parent_row))
            parent = parent_row["parent"]
        writable = row["kind"] == "active"
        if not below:
            return [api.Mount(type="bind", source=self.files(row), options=["rw" if writable else "ro", "rbind"])]
        if not writable and len(below) == 1:
            return [api.Mount(type="bind", source=below[0], options=["ro", "rbind"])]
        options = ["lowerdir=" + ":".join(below)]
        if writable:
            options = ["workdir=" + os.path.join(self.root, str(row["id"]), "work"), "upperdir=" + self.files(row)] + options
        return [api.Mount(type="overlay", source="overlay", options=self.overlay_options + options)]

    def usage(self, row):
        """Of the snapshot's own files, without its parents'. A file with several names counts once."""
        size, seen = 0, set()
        for directory, _, names in os.walk(self.files(row)):
            for path in [directory] + [os.path.join(directory, name) for name in names]:
                status = os.lstat(path)
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    size += status.st_blocks * 512
        return size, len(seen)

    def sweep(self):
        """Removes directories that belong to no snapshot: what was removed, and what a failure or a crash kept from coming to be."""
        known = {str(row["id"]) for row in self.all()}
        for name in os.listdir(self.root):
            if name.isdigit() and name not in known:
                shutil.rmtree(os.path.join(self.root, name))


def check_labels(labels):
    for key, value in labels.items():
        if len(key.encode()) + len(value.encode()) > LABEL_LIMIT:
            raise Refused(Code.INVALID_ARGUMENT, f"label {key[:40]!r}: key and value have more than {LABEL_LIMIT} bytes")


class Service:
    """One method per call of the service: a request in, a response out."""

    def __init__(self, store):
        self.store = store

    def Prepare(self, request):
        return api.PrepareSnapshotResponse(mounts=self.store.make(request.key, request.parent, "active", dict(request.labels)))

    def View(self, request):
        return api.ViewSnapshotResponse(mounts=self.store.make(request.key, request.parent, "view", dict(request.labels)))

    def Mounts(self, request):
        return api.MountsResponse(mounts=self.store.mounts(self.store.get(request.key)))

    def Commit(self, request):
        self.store.commit(request.name, request.key, dict(request.labels))
        return api.Empty()

    def Remove(self, request):
        self.store.remove(request.key)
        return api.Empty()

    def Stat(self, request):
        return api.StatSnapshotResponse(info=info(self.store.get(request.key)))

    def Update(self, request):
        row = self.store.update(request.info.name, dict(request.info.labels), list(request.update_mask.paths))
        return api.UpdateSnapshotResponse(info=info(row))

    def List(self, request):
        try:
            wanted = [filters.parse(text) for text in request.filters]
        except ValueError as error:
            raise Refused(Code.INVALID_ARGUMENT, str(error)) from error
        rows = [
            row
            for row in self.store.all()
            if not wanted
            or any(
                filters.matches(terms, {"name": row["name"], "parent": row["parent"], "kind": row["kind"]}, json.loads(row["labels"])) for terms in wanted
            )
        ]
        return [api.ListSnapshotsResponse(info=[info(row) for row in rows[at : at + 100]]) for at in range(0, len(rows), 100)]

    def Usage(self, request):
        size, inodes = self.store.usage(self.store.get(request.key))
        return api.UsageResponse(size=size, inodes=inodes)

    def Cleanup(self, request):
        return api.Empty()


def info(row):
    message = api.Info(name=row["name"], parent=row["parent"], kind=api.KINDS.index(row["kind"].upper()), labels=json.loads(row["labels"]))
    for field, nanoseconds in ((message.created_at, row["created"]), (message.updated_at, row["updated"])):
        field.seconds, field.nanos = divmod(nanoseconds, 1_000_000_000)
    return message


def handler(store, service, name):
    request_name, response_name, streams = api.METHODS[name]
    method = getattr(service, name)

    def answer(request, context):
        try:
            with store.lock:
                store.db.execute("begin immediate")
                try:
                    response = method(request)
                    store.db.execute("commit")
                except BaseException:
                    # Out of space, SQLite has rolled back by itself.
                    if store.db.in_transaction:
                        store.db.execute("rollback")
                    store.sweep()
                    raise
                # The metadata is the truth, and files follow it.
                if name in ("Remove", "Cleanup"):
                    store.sweep()
            return response
        except Refused as refusal:
            context.abort(refusal.code, str(refusal))
        except (OSError, sqlite3.OperationalError) as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error)
            context.abort(Code.RESOURCE_EXHAUSTED if full else Code.UNKNOWN, str(error))

    def stream(request, context):
        yield from answer(request, context)

    make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    return make(
        stream if streams else answer,
        request_deserializer=getattr(api, request_name).FromString,
        response_serializer=getattr(api, response_name).SerializeToString,
    )


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--root", required=True)
    arguments.add_argument("--socket", required=True)
    arguments = arguments.parse_args()
    store = Store(os.path.abspath(arguments.root))
    service = Service(store)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    handlers = {name: handler(store, service, name) for name in api.METHODS}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(api.SERVICE, handlers)])
    if os.path.exists(arguments.socket):
        os.unlink(arguments.socket)
    if not server.add_insecure_port("unix:" + os.path.abspath(arguments.socket)):
        raise SystemExit(f"{arguments.socket}: cannot listen there")
    server.start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    server.stop(grace=2).wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    main()
