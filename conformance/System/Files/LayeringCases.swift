import CLinux
import ConformanceSuites
import Protocols

/// The case in which scripts, each in a layer of its own, and the last one in a container above them, must come to the same as one after the other in a plain directory.
func layersLikePlain(
  _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, needs: Set<Capability> = [], why: String, threads: [String] = [],
  layers: [MountSubject.Script], _ script: @escaping MountSubject.Script
) -> ContractCase<MountSubject> {
  ContractCase(id, sentence, statement, level: level, needs: needs.union([.files]), why: why, threads: threads) { subject in
    var parent: String?
    for (number, layer) in layers.enumerated() {
      let wanted = try await subject.enterPlain(layer)
      let mounts = try await subject.prepare("making \(number)", parent)
      let seen = try await subject.enter(mounts, layer)
      do { try expectSame(seen, wanted) } catch var mismatch as Mismatch {
        mismatch = Mismatch(description: "in layer \(number), \(mismatch.description)", expected: mismatch.expected, actual: mismatch.actual)
        throw mismatch
      }
      try await subject.snapshotter.commit("layer \(number)", key: "making \(number)", labels: [:])
      parent = "layer \(number)"
    }
    let wanted = try await subject.enterPlain(script)
    try expectSame(try await subject.enter(try await subject.view("look", parent), script), wanted)
    try expectSame(try await subject.enter(try await subject.prepare("container", parent), script), wanted)
  }
}

extension MountSuite {
  private static let everyKind = ["file", "directory", "full", "link", "fifo", "device", "nothing"]

  /// Makes the name as one of the kinds; removes first what is there.
  private static func make(_ kind: String, _ name: String, in place: Place) {
    switch kind {
    case "file": place.write(name, "the file \(name)")
    case "directory": place.mkdir(name)
    case "full":
      place.mkdir(name)
      place.write("\(name)/inside", "the contents of \(name)")
    case "link": place.symlink("target of \(name)", name)
    case "fifo": place.mknod(name, 0o010644)
    case "device": place.mknod(name, 0o020644, major: 1, minor: 7)
    default: break
    }
  }
  private static func delete(_ kind: String, _ name: String, in place: Place) {
    switch kind {
    case "nothing": break
    case "directory": place.rmdir(name)
    case "full":
      place.unlink("\(name)/inside")
      place.rmdir(name)
    default: place.unlink(name)
    }
  }

  /// SW-01 … SW-03, SW-08, SW-11, SF-43, SF-44: what layers hide and keep.
  static let layering: [ContractCase<MountSubject>] = [
    layersLikePlain(
      "whiteouts.kinds-matrix", "every kind of file is replaced by every other, deleted, and made again, across layers", "LY-09, LY-12",
      why: "Upgrades turn directories into links and files into directories; what shines through from below breaks them.",
      threads: ["moby/moby#25244", "containers/fuse-overlayfs#279"],
      layers: [
        { place in for old in everyKind { for new in everyKind { make(old, "\(old)-\(new)", in: place) } } },
        { place in
          for old in everyKind {
            for new in everyKind where old != new {
              delete(old, "\(old)-\(new)", in: place)
              make(new, "\(old)-\(new)", in: place)
            }
          }
        },
      ]
    ) { place in
      place.list("")
      for old in everyKind {
        for new in everyKind where new != "nothing" {
          place.stat("\(old)-\(new)")
          if new == "full" || new == "directory" { place.list("\(old)-\(new)") }
          if new == "file" { place.read("\(old)-\(new)") }
        }
      }
    },
    layersLikePlain(
      "whiteouts.directory-made-again", "a directory that is deleted and made again has only what was put into it since, in every later layer", "LY-12, LY-14",
      why: "Old files that come back are old libraries that are loaded again.", threads: ["moby/moby#25244", "containers/fuse-overlayfs#143"],
      layers: [
        { place in
          for name in ["d", "d/deep", "e", "f"] { place.mkdir(name) }
          for name in ["d/one", "d/two", "d/deep/three", "e/one", "f/same"] { place.write(name, "layer 0") }
        },
        { place in
          for name in ["d/deep/three", "d/one", "d/two", "e/one", "f/same"] { place.unlink(name) }
          for name in ["d/deep", "d", "e", "f"] { place.rmdir(name) }
          place.mkdir("d")
          place.mkdir("f")
          place.write("f/same", "layer 1")
        },
        { place in
          place.mkdir("d/deep")
          place.write("d/two", "layer 2")
          place.mkdir("e")
        },
      ]
    ) { place in
      for name in ["", "d", "d/deep", "e", "f"] { place.list(name) }
      place.read("d/two")
      place.read("d/one")
      place.read("d/deep/three")
      place.read("f/same")
    },
    layersLikePlain(
      "whiteouts.come-and-go", "a name that comes and goes is there or not as the last layer left it", "LY-12",
      why: "Each layer of a build deletes and makes caches of the ones before.",
      layers: (0..<6).map { layer in
        { place in
          for name in 0..<8 {
            let exists = layer > 0 && (name >> ((layer - 1) % 3)) & 1 == 1
            let wanted = (name >> (layer % 3)) & 1 == 1
            if exists && !wanted { place.unlink("n\(name)") }
            if wanted { place.write("n\(name)", "layer \(layer)") }
          }
        }
      }
    ) { place in
      place.list("")
      for name in 0..<8 { place.read("n\(name)") }
    },
    layersLikePlain(
      "whiteouts.marks-unseen", "no mark of a deletion is seen in the tree, under any name", "LY-11",
      why: "A mark that shows (a device 0:0, a .wh. file) is packed into the next image as a file.", threads: ["containerd/stargz-snapshotter#2214"],
      layers: [
        { place in
          place.mkdir("d")
          for name in ["d/gone", "d/kept", "top"] { place.write(name, "x") }
        },
        { place in
          place.unlink("d/gone")
          place.unlink("top")
          place.mkdir("fresh")
        },
      ]
    ) { place in
      for name in ["", "d", "fresh"] { place.list(name) }
      for name in ["d/gone", "top", ".wh.top", "d/.wh.gone", "d/.wh..wh..opq", ".wh..opq"] { place.stat(name) }
      place.attributes("d")
      place.attributes("fresh")
    },
    ContractCase(
      "whiteouts.private-attributes", "attributes that the snapshotter keeps for itself are not seen in the tree", "LY-11", needs: [.files],
      why: "They are packed into images, where they mean something else to the next machine.", threads: ["containers/fuse-overlayfs#431"]
    ) { subject in
      try await subject.layer("base") { place in
        place.mkdir("d")
        place.write("d/x", "x")
        place.write("f", "x")
      }
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        place.unlink("d/x")
        place.rmdir("d")
        place.mkdir("d")
        place.write("f", "changed", flags: 0)
        place.mkdir("new")
        for name in ["", "d", "f", "new"] {
          guard let names = place.attributeNames(name) else { throw Mismatch(description: "the attributes of \"\(name)\": \(Place.errorName())") }
          let mine = names.filter { $0.contains("overlay") || $0.contains("containers") }
          try expect(mine.isEmpty, "\(name.isEmpty ? "the root" : name) shows \(mine.joined(separator: ", "))")
        }
      }
    },
    ContractCase(
      "whiteouts.wh-names", "a file called .wh.NAME that is made in a container never deletes NAME", "LY-10, LY-12", needs: [.files],
      why: "Whoever may write into a container could delete files of the next layers with it.", threads: ["containers/fuse-overlayfs#151"]
    ) { subject in
      try await subject.layer("base") { $0.write("victim", "here") }
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        // Refused or kept as a file: both leave the victim alone.
        place.write(".wh.victim", "")
        try expectEqual(place.read("victim"), "\"here\"", "the file in the container that made .wh.victim")
      }
      try await subject.snapshotter.commit("next", key: "container", labels: [:])
      try await subject.enter(try await subject.view("look", "next")) { place in
        try expectEqual(place.read("victim"), "\"here\"", "the file in the layer above .wh.victim")
      }
    },
    ContractCase(
      "whiteouts.device-zero", "a device 0:0 that is made in a container never deletes what is below", "LY-12", level: .should, needs: [.files],
      why: "Whoever may make devices could delete files of the layers with it, and lose his own.", threads: []
    ) { subject in
      try await subject.layer("base") { $0.write("victim", "here") }
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        let made = place.mknod("made", 0o020644)
        if made == "ok" { try expect(place.stat("made") != "ENOENT", "mknod of a device 0:0 came to ok, and no device is there") }
        place.mknod("victim", 0o020644)
        try expectEqual(place.read("victim"), "\"here\"", "the file on whose name a device 0:0 was made")
      }
    },
    ContractCase(
      "files.lower.unchanged", "whatever is done above a committed snapshot, the snapshot stays as it is", "LY-07; SNAP-10", needs: [.files],
      why: "All containers of an image share its layers: one that changes them changes all."
    ) { subject in
      try await subject.layer("base") { place in
        place.mkdir("dir")
        for name in ["dir/x", "dir/y", "f", "g", "h"] { place.write(name, "lower \(name)") }
        place.symlink("f", "link")
        place.mkdir("empty")
        place.setTimes("f", seconds: 1000, nanoseconds: 5)
        place.setAttribute("f", "user.note", bytes("lower"))
      }
      let look: MountSubject.Script = { place in
        for name in ["", "dir", "empty"] { place.list(name) }
        for name in ["f", "g", "h", "dir/x", "dir/y"] {
          place.read(name)
          place.stat(name)
        }
        place.readlink("link")
        place.modified("f")
        place.attribute("f", "user.note")
      }
      let view = try await subject.view("look", "base")
      let before = try await subject.enter(view, calls: FileCalls(), look)
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        place.write("f", "changed", flags: 0)
        place.write("g", "cut")
        place.unlink("h")
        place.chmod("dir/x", 0o600)
        place.chown("dir/y", 5, 5)
        place.setAttribute("f", "user.note", bytes("upper"))
        place.rename("dir/x", "x")
        place.unlink("link")
        place.symlink("other", "link")
        place.rmdir("empty")
        place.setTimes("f", seconds: 5, nanoseconds: 5)
        let file = place.open("dir/y", O_RDWR)
        if let start = mmap(nil, 4096, PROT_READ | PROT_WRITE, Int32(MAP_SHARED), file, 0), start != mapFailed {
          start.storeBytes(of: 0x2a, as: UInt8.self)
          msync(start, 4096, Int32(MS_SYNC))
          munmap(start, 4096)
        }
        place.close(file)
      }
      let after = try await subject.enter(try await subject.view("look again", "base"), calls: FileCalls(), look)
      for (now, then) in zip(after, before) { try expectEqual(now.outcome, then.outcome, "the committed snapshot, \(then.text)") }
    },
    ContractCase(
      "files.siblings.isolated", "two containers of one snapshot never see each other's changes", "LY-07; SNAP-10", needs: [.files],
      why: "One tenant reads or changes another's files."
    ) { subject in
      try await subject.layer("base") { place in
        place.write("f", "lower")
        place.link("f", "linked")
        place.mkdir("dir")
        place.write("dir/x", "lower")
      }
      let (one, two) = (try await subject.prepare("one", "base"), try await subject.prepare("two", "base"))
      try await subject.enter(one) { place in
        place.write("f", "of one", flags: O_TRUNC)
        place.write("linked", "also of one", flags: O_TRUNC)
        place.unlink("dir/x")
        place.write("only-one", "1")
      }
      try await subject.enter(two) { place in
        try expectEqual(place.list(""), "[\"dir\"/ \"f\" \"linked\"]", "names that the other container sees")
        for name in ["f", "linked", "dir/x"] { try expectEqual(place.read(name), "\"lower\"", "\(name) as the other container sees it") }
        place.write("f", "of two", flags: O_TRUNC)
      }
      try await subject.enter(one) { place in
        // Where hard links of lower layers stay links, the second write was to the same file.
        let seen = place.read("f")
        try expect(["\"of one\"", "\"also of one\""].contains(seen), "f as its own container sees it after the other wrote: \(seen), not what was written")
      }
    },
    ContractCase(
      "files.view.read-only", "in a view nothing can be changed, whatever layers it is of", "SNAP-11", needs: [.files],
      why: "Views are how content is scanned and diffed: a change through one changes the layer for everybody."
    ) { subject in
      try await subject.layer("one") { place in
        place.write("f", "lower")
        place.mkdir("dir")
      }
      try await subject.layer("two", on: "one") { $0.write("g", "upper") }
      for parent in ["one", "two"] {
        try await subject.enter(try await subject.view("view of \(parent)", parent)) { place in
          try expectEqual(place.read("f"), "\"lower\"", "a file in the view of \(parent)")
          for outcome in [
            place.write("f", "x", flags: 0), place.write("new", "x"), place.unlink("f"), place.rmdir("dir"), place.mkdir("d"), place.chmod("f", 0o600),
            place.chown("f", 1, 1), place.rename("f", "h"), place.link("f", "h"), place.symlink("f", "s"), place.truncate("f", to: 0),
            place.setAttribute("f", "user.x", [1]), place.setTimes("f", seconds: 1, nanoseconds: 1),
          ].enumerated() {
            try expectEqual(outcome.element, "EROFS", "the view of \(parent), \(place.steps[outcome.offset + 1].text)")
          }
        }
      }
    },
    ContractCase(
      "files.reading.no-copy", "reading, listing and asking never copies anything into the container's own snapshot", "SNAP-07", needs: [.files],
      why: "A container that only reads would fill the disk.", threads: ["opencontainers/runc#1896"]
    ) { subject in
      try await subject.layer("base") { place in
        place.write("f", String(repeating: "x", count: 1 << 20))
        place.mkdir("dir")
        place.write("dir/g", "x")
      }
      let mounts = try await subject.prepare("container", "base")
      let before = try await subject.snapshotter.usage("container")
      try await subject.enter(mounts) { place in
        for name in ["f", "dir/g"] {
          place.read(name)
          place.stat(name)
          place.attributes(name)
          place.attribute(name, "user.none")
          place.note("access", Place.errorName(access(place.path(name), R_OK | W_OK)))
        }
        place.list("")
        place.list("dir")
      }
      let after = try await subject.snapshotter.usage("container")
      try expectEqual(after, before, "usage after reading only")
    },
    ContractCase(
      "files.rename.lower-directory", "a directory of a layer below is renamed whole, or refused with EXDEV and left as it is", "rename(2); FS-05",
      needs: [.files],
      why: "mv falls back to copying on EXDEV; half a rename loses the other half.", threads: ["moby/moby#25409", "podman-container-tools/podman#13123"]
    ) { subject in
      try await subject.layer("base") { place in
        place.mkdir("dir")
        place.mkdir("dir/sub")
        place.write("dir/sub/f", "lower")
      }
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        place.write("dir/new", "upper")
        let outcome = place.rename("dir", "moved")
        try expect(outcome == "ok" || outcome == "EXDEV", "rename of a directory of a layer below: \(outcome)")
        let (there, gone) = outcome == "ok" ? ("moved", "dir") : ("dir", "moved")
        try expectEqual(place.list(there), "[\"new\" \"sub\"/]", "names in the directory after the rename came to \(outcome)")
        try expectEqual(place.read("\(there)/sub/f"), "\"lower\"", "a file deep in it")
        try expectEqual(place.stat(gone), "ENOENT", "the other name")
      }
    },
  ]
}
