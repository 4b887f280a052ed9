import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// What appliers and differs do with everything that a file has, looked at with system calls.
public enum LayerFileSuite {
  public static let cases = applying + whiteouts + diffing

  static func layer(
    _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, why: String, threads: [String] = [],
    _ body: @escaping @Sendable (LayerSubject) async throws -> Void
  ) -> ContractCase<LayerSubject> { ContractCase(id, sentence, statement, level: level, needs: [.files], why: why, threads: threads, body: body) }

  /// Each thing that is looked at must come to what is written beside it.
  static func expectTree(_ subject: LayerSubject, _ mounts: [Mount], _ wanted: @escaping @Sendable (Place) -> [(what: String, seen: String, wanted: String)])
    async throws
  {
    try await look(subject, mounts) { place in
      for item in wanted(place) { try expectEqual(item.seen, item.wanted, item.what) }
    }
  }
  static func look(_ subject: LayerSubject, _ mounts: [Mount], _ body: @escaping @Sendable (Place) throws -> Void) async throws {
    try await subject.enter(mounts) { tree in
      guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
      umask(0o022)
      try body(Place(root: root))
    }
  }

  static func record(_ name: String, _ type: Character = "0", _ contents: String = "", _ change: (inout TarRecord) -> Void = { _ in }) -> TarRecord {
    var record = TarRecord(name, type, contents)
    if type == "5" { record.mode = 0o755 }
    change(&record)
    return record
  }

  static let applying: [ContractCase<LayerSubject>] = [
    layer(
      "layers.tree.attributes", "times to the nanosecond, owners and attributes come out as they are in the archive, also of directories that are filled later",
      "LY-03", why: "Build caches compare times; capabilities are attributes.", threads: ["containerd/containerd#1723"]
    ) { subject in
      let archive = TarRecord.archive([
        record("dir/", "5") { $0.modified = 1_111_111_111 },
        .extended([("mtime", bytes("1234567890.123456789")), ("SCHILY.xattr.user.note", bytes("a note"))]),
        record("dir/file", "0", "contents") { ($0.owner, $0.group) = (10, 20) },
        record("link", "2") {
          $0.link = "dir"
          $0.modified = 1_222_222_222
        },
      ])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [
          ("time of a file", place.modified("dir/file"), "1234567890.123456789"), ("time of a directory", place.modified("dir"), "1111111111.0"),
          ("time of a symbolic link", place.modified("link"), "1222222222.0"), ("owners", place.stat("dir/file"), "file 644 10:20, 8 bytes, 1 links"),
          ("attribute", place.attribute("dir/file", "user.note"), "\"a note\""),
        ]
      }
    },
    layer(
      "layers.tree.modes", "set-uid, set-gid and sticky bits come out with owners that are not root", "LY-03",
      why: "A change of owner clears them: who sets owners last loses sudo.", threads: ["containerd/containerd#3038"]
    ) { subject in
      let archive = TarRecord.archive([
        record("suid") { ($0.mode, $0.owner) = (0o4755, 1000) }, record("sgid") { ($0.mode, $0.group) = (0o2711, 50) },
        record("tmp/", "5") { $0.mode = 0o1777 }, record("shared/", "5") { ($0.mode, $0.group) = (0o2775, 50) },
      ])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [
          ("suid", place.stat("suid"), "file 4755 1000:0, 0 bytes, 1 links"), ("sgid", place.stat("sgid"), "file 2711 0:50, 0 bytes, 1 links"),
          ("tmp", place.stat("tmp"), "directory 1777 0:0"), ("shared", place.stat("shared"), "directory 2775 0:50"),
        ]
      }
    },
    layer(
      "layers.tree.long-names", "long names and targets come out whole, in the POSIX form and in GNU's", "LY-01",
      why: "A name that is cut is another file."
    ) { subject in
      let directories = (0..<12).map { "directory-number-\($0)-of-a-long-path" }.joined(separator: "/")
      let target = String(repeating: "t", count: 300)
      let archive = TarRecord.archive([
        .extended([("path", bytes("\(directories)/posix"))]), record("cut", "0", "posix"),
        record("././@LongLink", "L", "\(directories)/gnu\0"), record("cut", "0", "gnu"), .extended([("linkpath", bytes(target))]),
        record("link", "2") { $0.link = "cut" },
      ])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [
          ("the file of a long name, POSIX", place.read("\(directories)/posix"), "\"posix\""),
          ("the file of a long name, GNU", place.read("\(directories)/gnu"), "\"gnu\""), ("a name that is cut", place.stat("cut"), "ENOENT"),
          ("a long target", place.readlink("link"), shown(target)),
        ]
      }
    },
    layer(
      "layers.tree.large-ids", "owners above two million come out, in the POSIX form and in GNU's", "LY-03", why: "An owner that is cut is somebody else."
    ) { subject in
      let archive = TarRecord.archive([
        .extended([("uid", bytes("3000000000")), ("gid", bytes("4000000000"))]), record("posix"),
        record("gnu") { ($0.owner, $0.group) = (3_000_000_000, 2_097_152) },
      ])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [
          ("owners, POSIX", place.stat("posix"), "file 644 3000000000:4000000000, 0 bytes, 1 links"),
          ("owners, GNU", place.stat("gnu"), "file 644 3000000000:2097152, 0 bytes, 1 links"),
        ]
      }
    },
    layer(
      "layers.tree.hard-links", "hard links are made to files of this layer and of lower ones, and to symbolic links themselves", "LY-03",
      why: "Files that should be one are two, and grow the image."
    ) { subject in
      let lower = TarRecord.archive([record("old", "0", "lower")])
      let upper = TarRecord.archive([
        record("file", "0", "upper"), record("same", "1") { $0.link = "file" }, record("dir/old", "1") { $0.link = "old" },
        record("symbolic", "2") { $0.link = "file" }, record("symbolic-same", "1") { $0.link = "symbolic" },
      ])
      try await expectTree(subject, try await subject.unpack([lower, upper])) { place in
        [
          ("a hard link", place.stat("same"), "file 644 0:0, 5 bytes, 2 links"), ("a link to a lower file", place.read("dir/old"), "\"lower\""),
          ("a link to a symbolic link", place.readlink("symbolic-same"), "\"file\""),
        ]
      }
    },
    layer(
      "layers.tree.hard-link-nowhere", "a hard link to what is not there is refused", "LayerApplier.apply; REF-L05",
      why: "Half an image starts, and fails later."
    ) { subject in
      let layer = try await subject.stored(TarRecord.archive([record("link", "1") { $0.link = "missing" }]))
      let mounts = try await subject.tree()
      do { try await subject.apply(layer, to: mounts) } catch is ContainerdError { return }
      throw Mismatch(description: "apply of a hard link to a name that is not there: expected an error, but it succeeded")
    },
    layer(
      "layers.tree.parents", "missing parents are made as 0755 of root, those that are there stay as they are, and a later entry still counts", "LY-08",
      why: "Directories that only root may enter, or that lose their rules.", threads: ["containerd/containerd#3017", "containerd/containerd#4086"]
    ) { subject in
      let lower = TarRecord.archive([record("there/", "5") { ($0.mode, $0.owner) = (0o711, 5) }])
      let upper = TarRecord.archive([
        record("there/file"), record("made/deep/file"), record("later/file"), record("later/", "5") { ($0.mode, $0.owner) = (0o700, 7) },
      ])
      try await expectTree(subject, try await subject.unpack([lower, upper])) { place in
        [
          ("a parent that is there", place.stat("there"), "directory 711 5:0"), ("a parent that is missing", place.stat("made"), "directory 755 0:0"),
          ("a parent's parent", place.stat("made/deep"), "directory 755 0:0"), ("a parent that is told later", place.stat("later"), "directory 700 7:0"),
        ]
      }
    },
    layer(
      "layers.tree.root-entry", "an entry for the root sets the root's mode and owners, and nothing else", "LY-09",
      why: "A root that others may not enter locks services out.", threads: ["awslabs/soci-snapshotter#664", "moby/moby#44140"]
    ) { subject in
      let archive = TarRecord.archive([record("./", "5") { ($0.mode, $0.owner, $0.group) = (0o711, 5, 6) }, record("./file", "0", "x")])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [("the root", place.stat(""), "directory 711 5:6"), ("its names", place.list(""), "[\"file\"]"), ("a file", place.read("file"), "\"x\"")]
      }
    },
    layer(
      "layers.tree.kinds", "FIFOs and devices come out with their numbers", "LY-05", why: "A device with another number is another device."
    ) { subject in
      let archive = TarRecord.archive([
        record("fifo", "6") { $0.mode = 0o640 }, record("char", "3") { $0.device = (1, 3) }, record("block", "4") { $0.device = (259, 70_000) },
      ])
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        [
          ("a FIFO", place.stat("fifo"), "FIFO 640 0:0, 1 links"), ("a character device", place.stat("char"), "character device 1:3 644 0:0"),
          ("a block device", place.stat("block"), "block device 259:70000 644 0:0"),
        ]
      }
    },
    layer(
      "layers.tree.odd-names", "names that only look like marks, or differ by case or Unicode form, are kept", "LY-10",
      why: "A file that is taken for a mark deletes another."
    ) { subject in
      let names = [".wh", "a.wh.b", "wh.x", "case", "CASE", "\u{e9}", "e\u{301}", " space ", "line\nbreak", "back\\slash", "...", "-"]
      let archive = TarRecord.archive(names.map { record($0, "0", $0) })
      try await expectTree(subject, try await subject.unpack([archive])) { place in
        names.map { ("the file \($0)", place.read($0), shown(bytes: Array($0.utf8))) }
      }
    },
    layer(
      "layers.tree.duplicates", "of two entries for one name the last wins, or the archive is refused", "LY-02",
      why: "A mix of two files is neither."
    ) { subject in
      let archive = TarRecord.archive([
        record("file", "0", "first, and longer") { $0.mode = 0o600 }, record("file", "0", "second"), record("turns", "0", "file"), record("turns/", "5"),
        record("turns/inside", "0", "x"),
      ])
      let mounts = try await subject.tree()
      do { try await subject.apply(try await subject.stored(archive), to: mounts) } catch is ContainerdError { return }
      try await expectTree(subject, mounts) { place in
        [
          ("the file", place.read("file"), "\"second\""), ("its mode", place.stat("file"), "file 644 0:0, 6 bytes, 1 links"),
          ("what turned", place.list("turns"), "[\"inside\"]"),
        ]
      }
    },
    layer(
      "layers.tree.no-way-out-links", "no link of this layer or a lower one leads an entry, a deletion or a hard link out of the tree",
      "LayerApplier.apply: nothing outside; REF-L01",
      why: "Whoever makes an image writes and deletes files of the machine that pulls it.", threads: ["containerd/containerd#4086"]
    ) { subject in
      let outside = "/tmp/containerd-conformance-outside-\(getpid())"
      try Files.makeDirectories(outside)
      defer { _ = try? Files.removeTree(outside) }  // Best effort: what matters was checked before.
      try Files.writeAtomically(bytes("precious"), to: outside + "/victim", mode: 0o600)
      let lower = TarRecord.archive([record("out", "2") { $0.link = outside }, record("up", "2") { $0.link = "../../../../../../../../../../../.." + outside }])
      let attacks: [[TarRecord]] = [
        [record("out/victim", "0", "bad")], [record("up/victim", "0", "bad")], [record("out/.wh.victim")], [record("up/.wh.victim")],
        [record("out/.wh..wh..opq")],
        [record("here", "1") { $0.link = "out/victim" }, record("here", "0", "bad")],
        [record("here", "2") { $0.link = outside + "/victim" }, record("here", "0", "bad")],
        [record("out/", "5") { $0.mode = 0o777 }], [record("d/", "5"), record("d", "2") { $0.link = outside }, record("d/victim", "0", "bad")],
        [record("../../../../../../../../../../.." + outside + "/victim", "0", "bad")],
        [record("deep", "2") { $0.link = "/proc/self/root" + outside }, record("deep/victim", "0", "bad")],
      ]
      try await subject.apply(try await subject.stored(lower), to: try await subject.tree("lower"))
      try await subject.snapshotter.commit("base", key: "lower", labels: [:])
      for (number, attack) in attacks.enumerated() {
        let mounts = try await subject.tree("attack \(number)", on: "base")
        // Refused, or kept inside: both are right.
        do { try await subject.apply(try await subject.stored(TarRecord.archive(attack)), to: mounts) } catch is ContainerdError {}
        let what = "attack \(number) (\(attack.map { "\($0.name)\($0.link.isEmpty ? "" : " -> \($0.link)")" }.joined(separator: ", ")))"
        try expectEqual(try Files.names(in: outside), ["victim"], "\(what): names in a directory of the machine")
        try expectEqual(String(decoding: try Files.read(outside + "/victim"), as: UTF8.self), "precious", "\(what): a file of the machine")
        try expectEqual(try Files.status(outside + "/victim").st_nlink, 1, "\(what): links to a file of the machine")
        try expectEqual(try Files.status(outside).st_mode & 0o7777, 0o755, "\(what): mode of a directory of the machine")
      }
    },
  ]

  static let whiteouts: [ContractCase<LayerSubject>] = [
    layer(
      "layers.whiteouts.opaque-anywhere", "an opaque mark hides the lower layers and nothing of its own, wherever in the archive it stands", "LY-14, LY-16",
      why: "Files of the new layer vanish with the old ones."
    ) { subject in
      let lower = TarRecord.archive([record("d/old"), record("d/sub/old"), record("d/both", "0", "lower")])
      let own = [record("d/both", "0", "upper"), record("d/new"), record("d/sub/new")]
      for position in 0...own.count {
        var records = own
        records.insert(record("d/.wh..wh..opq"), at: position)
        let mounts = try await subject.tree("on \(position)", on: try await base(subject, lower, "base \(position)"))
        try await subject.apply(try await subject.stored(TarRecord.archive(records)), to: mounts)
        try await expectTree(subject, mounts) { place in
          [
            ("mark at \(position): names", place.list("d"), "[\"both\" \"new\" \"sub\"/]"),
            ("mark at \(position): names below", place.list("d/sub"), "[\"new\"]"),
            ("mark at \(position): a file of both", place.read("d/both"), "\"upper\""),
          ]
        }
      }
    },
    layer(
      "layers.whiteouts.one-name", "a deletion deletes exactly its name: not its like elsewhere, not what a link leads to", "LY-12",
      why: "Files that nobody deleted are gone.", threads: ["containers/fuse-overlayfs#151"]
    ) { subject in
      let lower = TarRecord.archive([
        record("test"), record("dir/test"), record("dir/deep/test"), record("target", "0", "kept"), record("link", "2") { $0.link = "target" },
        record("to-dir", "2") { $0.link = "dir" }, record("testing"),
      ])
      let upper = TarRecord.archive([record(".wh.test"), record(".wh.link"), record(".wh.to-dir"), record("dir/deep/.wh.test")])
      try await expectTree(subject, try await subject.unpack([lower, upper])) { place in
        [
          ("names", place.list(""), "[\"dir\"/ \"target\" \"testing\"]"), ("names in dir", place.list("dir"), "[\"deep\"/ \"test\"]"),
          ("names in dir/deep", place.list("dir/deep"), "[]"), ("what the link led to", place.read("target"), "\"kept\""),
        ]
      }
    },
    layer(
      "layers.whiteouts.made-again", "a name that one layer deletes and makes again is what it was made as", "LY-09, LY-12",
      why: "An upgrade that turns a directory into a file leaves both or none."
    ) { subject in
      let lower = TarRecord.archive([record("a"), record("b/inside"), record("c"), record("d/inside"), record("other", "0", "other")])
      for marksFirst in [true, false] {
        let marks = ["a", "b", "c", "d"].map { record(".wh.\($0)") }
        let own = [record("a/", "5"), record("b", "0", "file"), record("c", "1") { $0.link = "other" }, record("d/", "5"), record("d/new")]
        let mounts = try await subject.tree("on \(marksFirst)", on: try await base(subject, lower, "base \(marksFirst)"))
        try await subject.apply(try await subject.stored(TarRecord.archive(marksFirst ? marks + own : own + marks)), to: mounts)
        let order = marksFirst ? "deleted first" : "deleted last"
        try await expectTree(subject, mounts) { place in
          [
            ("\(order): names", place.list(""), "[\"a\"/ \"b\" \"c\" \"d\"/ \"other\"]"), ("\(order): a file that became a directory", place.list("a"), "[]"),
            ("\(order): a directory that became a file", place.read("b"), "\"file\""),
            ("\(order): a file that became a hard link", place.read("c"), "\"other\""),
            ("\(order): a directory made again", place.list("d"), "[\"new\"]"),
          ]
        }
      }
    },
    layer(
      "layers.whiteouts.nameless", "a mark without a name is refused", "LY-10", level: .should, why: "It deletes everything, or nothing: nobody knows."
    ) { subject in
      for name in [".wh.", "dir/.wh."] {
        let layer = try await subject.stored(TarRecord.archive([record(name)]))
        let mounts = try await subject.tree("for \(name)")
        do { try await subject.apply(layer, to: mounts) } catch is ContainerdError { continue }
        throw Mismatch(description: "apply of a mark called \(name): expected an error, but it succeeded")
      }
    },
  ]

  private static func base(_ subject: LayerSubject, _ archive: [UInt8], _ name: String) async throws -> String {
    try await subject.apply(try await subject.stored(archive), to: try await subject.tree("making \(name)"))
    try await subject.snapshotter.commit(name, key: "making \(name)", labels: [:])
    return name
  }
}
