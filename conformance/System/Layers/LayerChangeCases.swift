import CLinux
import ConformanceSuites
import Protocols

extension LayerFileSuite {
  /// A layer of the changes that the script makes, as records, and as it is stored.
  private static func changes(
    _ subject: LayerSubject, lower: @escaping @Sendable (Place) throws -> Void, _ script: @escaping @Sendable (Place) throws -> Void
  ) async throws -> (records: [TarRecord], layer: Descriptor, upper: [Mount]) {
    try await look(subject, try await subject.tree("making"), lower)
    try await subject.snapshotter.commit("lower", key: "making", labels: [:])
    let upper = try await subject.tree("upper", on: "lower")
    try await look(subject, upper, script)
    let below = try await subject.snapshotter.view("below", parent: "lower", labels: [:])
    let layer = try await subject.differ.diff(from: below, to: upper, into: subject.content, options: DiffOptions(mediaType: LayerSubject.plain))
    let reader = try await subject.content.reader(layer.digest)
    let archive = try await reader.read(at: 0, count: Int(layer.size))
    await reader.close()
    return (TarRecord.records(of: archive), layer, upper)
  }

  private static func lower(_ place: Place) {
    for name in ["dir", "dir/sub", "gone-dir", "moved-dir"] { place.mkdir(name) }
    for name in ["content", "same-size", "mode", "owner", "attribute", "time", "gone", "old-name", "untouched", "gone-dir/x", "dir/sub/deep", "linked"] {
      place.write(name, "lower \(name)")
      place.setTimes(name, seconds: 1_000_000_000, nanoseconds: 5)
    }
    place.symlink("untouched", "link")
    place.chmod("dir", 0o711)
    place.chown("dir/sub", 7, 8)
  }
  private static func change(_ place: Place) {
    place.write("content", "upper, and longer than before", flags: O_TRUNC)
    place.write("same-size", "LOWER same-size", flags: O_TRUNC)
    place.setTimes("same-size", seconds: 1_000_000_000, nanoseconds: 900)
    place.chmod("mode", 0o600)
    place.chown("owner", 5, 6)
    place.setAttribute("attribute", "user.note", bytes("new"))
    place.setTimes("time", seconds: 1_500_000_000, nanoseconds: 5)
    place.unlink("gone")
    place.unlink("gone-dir/x")
    place.rmdir("gone-dir")
    place.rename("old-name", "new-name")
    place.link("linked", "linked-2")
    place.unlink("link")
    place.symlink("content", "link")
    place.write("dir/sub/deep", "upper deep", flags: O_TRUNC)
    place.mkdir("fresh")
    place.write("fresh/file", "x")
    place.mknod("socket", 0o140755)
  }

  static let diffing: [ContractCase<LayerSubject>] = [
    layer(
      "layers.diff.each-change", "every kind of change is in the layer, and what did not change is not", "LayerDiffer.diff; LY-03",
      why: "A change that is left out is lost with the container; a file too many grows every image.", threads: ["containerd/containerd#1723"]
    ) { subject in
      let made = try await changes(subject, lower: lower, change)
      let names = Set(made.records.filter { $0.type != "x" && $0.type != "g" }.map { name($0) })
      for wanted in [
        "content", "same-size", "mode", "owner", "attribute", "time", ".wh.gone", ".wh.gone-dir", ".wh.old-name", "new-name", "linked-2", "link",
        "dir/sub/deep",
        "fresh", "fresh/file",
      ] { try expect(names.contains(wanted), "no entry \(wanted) in the layer; it has \(names.sorted().joined(separator: ", "))") }
      for other in ["untouched", "moved-dir"] { try expect(!names.contains(other), "\(other) did not change, and has an entry in the layer") }
    },
    layer(
      "layers.diff.entries", "the entries carry contents, modes, owners, targets and attributes", "LayerDiffer.diff; LY-03",
      why: "What is not in the layer is lost."
    ) { subject in
      let made = try await changes(subject, lower: lower, change)
      func entry(_ wanted: String) throws -> TarRecord {
        guard let found = made.records.first(where: { $0.type != "x" && name($0) == wanted }) else {
          throw Mismatch(description: "no entry \(wanted) in the layer")
        }
        return found
      }
      try expectEqual(String(decoding: try entry("content").contents, as: UTF8.self), "upper, and longer than before", "contents of content")
      try expectEqual(try entry("mode").mode & 0o7777, 0o600, "mode of mode")
      let owner = try entry("owner")
      try expect(owner.owner == 5 && owner.group == 6, "owners of owner: \(owner.owner):\(owner.group)")
      try expectEqual(try entry("link").link, "content", "target of link")
      try expectEqual(try entry("time").modified, 1_500_000_000, "time of time")
      let attributes = made.records.filter { $0.type == "x" }.flatMap { $0.attributes.filter { $0.key == "SCHILY.xattr.user.note" } }
      try expectEqual(attributes.map { String(decoding: $0.value, as: UTF8.self) }, ["new"], "the attribute user.note in extended headers")
      try expect([entry("linked"), entry("linked-2")].contains { $0.type == "1" }, "neither linked nor linked-2 is a hard link")
    },
    layer(
      "layers.diff.private", "no mark, attribute or socket of the snapshotter's or of a running program is in the layer", "LayerDiffer.diff; LY-10",
      why: "They mean something else on the next machine, or delete files there.", threads: ["opencontainers/umoci#573"]
    ) { subject in
      let made = try await changes(subject, lower: lower) { place in
        change(place)
        place.mkdir("gone-dir")
        place.write("gone-dir/new", "x")
      }
      for record in made.records {
        let private_ = record.attributes.keys.filter { $0.contains("overlay") || $0.contains("containers") }
        try expect(private_.isEmpty, "an attribute of the snapshotter's in the layer: \(private_.joined(separator: ", "))")
        try expect(!record.name.contains(".wh..wh.plnk") && !record.name.contains("lost+found"), "the entry \(record.name)")
        try expect(record.type != "3" || record.device != (0, 0), "the entry \(record.name) is a device 0:0")
        try expect(name(record) != "socket", "the entry socket for a socket")
      }
    },
    layer(
      "layers.diff.round-trip-all", "what is diffed and applied above the same parent is the same tree in everything",
      "LayerDiffer.diff, LayerApplier.apply; LY-03, REF-L06",
      why: "An image that is committed and pulled is not the container that was committed.", threads: ["containerd/containerd#1723"]
    ) { subject in
      let made = try await changes(subject, lower: lower) { place in
        change(place)
        place.unlink("socket")
        place.mkdir("gone-dir")
        place.write("gone-dir/new", "x")
        place.unlink("untouched")
        place.mkdir("untouched")
        place.mknod("fifo", 0o010600)
        place.mknod("device", 0o020600, major: 1, minor: 3)
        place.write("suid", "x")
        place.chown("suid", 9, 9)
        place.chmod("suid", 0o4711)
      }
      let again = try await subject.tree("again", on: "lower")
      try await subject.apply(made.layer, to: again)
      let (wanted, seen) = (Visited<Place.Step>(), Visited<Place.Step>())
      for (mounts, into) in [(made.upper, wanted), (again, seen)] {
        try await look(subject, mounts) { place in
          for directory in ["", "dir", "dir/sub", "fresh", "gone-dir", "untouched"] { place.list(directory) }
          for name in [
            "content", "same-size", "mode", "owner", "attribute", "time", "new-name", "linked", "linked-2", "link", "dir", "dir/sub", "dir/sub/deep", "fresh",
            "fresh/file", "gone-dir", "gone-dir/new", "untouched", "fifo", "device", "suid",
          ] { place.stat(name) }
          for name in ["content", "same-size", "linked", "dir/sub/deep", "gone-dir/new"] { place.read(name) }
          place.attribute("attribute", "user.note")
          place.modified("time")
          for step in place.steps { into.append(step) }
        }
      }
      for (mine, theirs) in zip(seen.items, wanted.items) { try expectEqual(mine.outcome, theirs.outcome, "after the round trip, \(theirs.text)") }
    },
  ]

  /// Without the decoration that archivers choose freely.
  private static func name(_ record: TarRecord) -> String {
    var name = Substring(record.name)
    if name.hasPrefix("./") { name = name.dropFirst(2) } else if name.hasPrefix("/") { name = name.dropFirst() }
    return String(name.hasSuffix("/") ? name.dropLast() : name)
  }
}
