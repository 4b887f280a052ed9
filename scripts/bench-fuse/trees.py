"""What is measured on: files, archives and layers that are made up, the same in every run."""
import gzip
import hashlib
import io
import json
import os
import random
import tarfile

WORDS = "alpha beta gamma delta epsilon needle return static int void struct while".split()


def text_pool(chance, size=1 << 21):
    return " ".join(f"{chance.choice(WORDS)}{chance.randrange(1000)}" for _ in range(size // 8)).encode()


def small_files(path, count, seed=7, most=200_000):
    """Text files of some 6 KiB on average, as a language's library has them, eighteen or so to a directory, with links among them."""
    chance = random.Random(seed)
    pool = text_pool(chance)
    os.makedirs(path)
    directories = [path]
    for number in range(max(1, count // 18)):
        above = chance.choice(directories[-200:])
        directory = os.path.join(above if above.count("/") - path.count("/") < 9 else path, f"d{number:04}")
        os.mkdir(directory)
        directories.append(directory)
    for number in range(count):
        size = int(min(most, chance.lognormvariate(7.8, 1.4)))
        start = chance.randrange(len(pool) - size)
        name = os.path.join(chance.choice(directories), f"f{number:05}.txt")
        with open(name, "wb") as file:
            file.write(pool[start:start + size])
        if number % 40 == 0:
            os.symlink(os.path.basename(name), name + ".lnk")
        if number % 50 == 0:
            os.link(name, name + ".hl")


def noise(path, mebibytes):
    with open(path, "wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))


def copy_in_pieces(path, to, piece):
    """The pieces in which a file was written are what the kernel keeps it in, and that is what mapping it costs."""
    with open(path, "rb") as file, open(to, "wb", buffering=0) as other:
        while bytes := file.read(piece):
            other.write(bytes)


def bare_layer(number, files):
    """A layer of tiny files, as the bytes of a tar archive: made in memory, for nobody unpacks it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for place in range(files):
            if place % 100 == 0:
                directory = tarfile.TarInfo(f"layer{number}/d{place // 100:03}")
                directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
                archive.addfile(directory)
            entry = tarfile.TarInfo(f"layer{number}/d{place // 100:03}/module_{place:05}.txt")
            body = f"layer {number}, file {place}\n".encode()
            entry.size, entry.mode, entry.mtime = len(body), 0o644, 1_700_000_000 + place
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


class Image:
    """An image in OCI's directory layout, for skopeo to push (image-spec, image-layout.md)."""

    def __init__(self, path):
        self.path, self.layers, self.diff_ids = path, [], []
        os.makedirs(f"{path}/blobs/sha256")
        with open(f"{path}/oci-layout", "w") as file:
            file.write('{"imageLayoutVersion":"1.0.0"}')

    def put(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add(self, archive, level=6):
        self.diff_ids.append(f"sha256:{hashlib.sha256(archive).hexdigest()}")
        self.layers.append(self.put(gzip.compress(archive, level, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
        return self.layers[-1]

    def blob(self, layer):
        return f"{self.path}/blobs/{layer['digest'].replace(':', '/')}"

    def chain(self):
        """The name of the top layer's snapshot (image-spec, config.md, ChainID)."""
        name = self.diff_ids[0]
        for diff_id in self.diff_ids[1:]:
            name = "sha256:" + hashlib.sha256(f"{name} {diff_id}".encode()).hexdigest()
        return name

    def close(self, command=("/bin/sh",)):
        config = {"architecture": "amd64" if os.uname().machine == "x86_64" else "arm64", "os": "linux", "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
                  "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"), "layers": self.layers}
        top = self.put(json.dumps(manifest).encode(), manifest["mediaType"])
        top["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        with open(f"{self.path}/index.json", "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [top]}, file)
