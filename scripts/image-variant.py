#!/usr/bin/env python3
"""Makes another form of an image in an OCI layout: image-variant.py LAYOUT TAG NEW-TAG FORM

plain     every layer an uncompressed tar
members   every layer gzip of many members, one of them empty
frames    every layer zstd of many frames (needs zstd)
many=N    N more layers, each with a file of its own; every tenth deletes a file of an earlier one; runs as the user "user"
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"
PIECE = 1 << 20


class Layout:
    def __init__(self, path):
        self.path = path

    def blob(self, digest):
        with open(os.path.join(self.path, "blobs", *digest.split(":")), "rb") as f:
            return f.read()

    def put(self, data, media_type):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.path, "blobs", *digest.split(":")), "wb") as f:
            f.write(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def pieces(data):
    return [data[i:i + PIECE] for i in range(0, len(data), PIECE)] or [b""]


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c", "-1"], input=data, stdout=subprocess.PIPE, check=True).stdout


FORMS = {
    "plain": lambda tar: (tar, LAYER),
    "members": lambda tar: (b"".join(gzip.compress(p, 1) for p in pieces(tar) + [b""]), LAYER + "+gzip"),
    "frames": lambda tar: (b"".join(map(zstd, pieces(tar))), LAYER + "+zstd"),
}


def small_layer(number):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, text):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), 1000000000 + number
            tar.addfile(info, io.BytesIO(text))
        for name in ("./", "layers/"):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, 1000000000 + number
            tar.addfile(info)
        add(f"layers/{number}", f"layer {number}\n".encode())
        if number % 10 == 0:
            add(f"layers/.wh.{number - 5}", b"")
    return data.getvalue()


def main(path, tag, new_tag, form):
    layout = Layout(path)
    with open(os.path.join(path, "index.json")) as f:
        index = json.load(f)
    name = "org.opencontainers.image.ref.name"
    source = next(m for m in index["manifests"] if m.get("annotations", {}).get(name) == tag)
    manifest = json.loads(layout.blob(source["digest"]))
    config = json.loads(layout.blob(manifest["config"]["digest"]))
    if form.startswith("many="):
        for number in range(1, int(form.split("=")[1]) + 1):
            tar = small_layer(number)
            manifest["layers"].append(layout.put(gzip.compress(tar, 1), LAYER + "+gzip"))
            config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(tar).hexdigest())
        config.pop("history", None)
        config["config"]["User"] = "user"
    else:
        manifest["layers"] = [layout.put(*FORMS[form](gzip.decompress(layout.blob(layer["digest"])))) for layer in manifest["layers"]]
    manifest["config"] = layout.put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    made = layout.put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    index["manifests"] = [m for m in index["manifests"] if m.get("annotations", {}).get(name) != new_tag]
    index["manifests"].append({**made, "annotations": {name: new_tag}})
    with open(os.path.join(path, "index.json"), "w") as f:
        json.dump(index, f)


main(*sys.argv[1:])
