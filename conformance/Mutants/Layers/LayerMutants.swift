import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

/// Faults of appliers and differs.
enum LayerMutants {
  static let all: [Mutant] = archives + trees + calls + compression + differs + controls

  static func applying(
    _ id: String, _ sentence: String, in group: CaseGroup = .tarApply, on base: String = "inproc:overlay", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout AlteredApplier) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, threads: threads) {
      $0.wrap(LayerSubject.self) { subject in
        var applier = AlteredApplier(base: subject.applier, digest: subject.digest, trees: subject.trees)
        change(&applier)
        subject.applier = applier
      }
    }
  }

  /// Every record of the archive is changed, or left out.
  static func archive(
    _ id: String, _ sentence: String, in group: CaseGroup = .tarApply, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (TarRecord) -> TarRecord?
  ) -> Mutant {
    applying(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) { $0.rewrite = { $0.compactMap(change) } }
  }

  /// Every record of the layer that is made is changed, or left out.
  static func diffing(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (TarRecord) -> TarRecord?
  ) -> Mutant {
    Mutant(id, sentence, in: .whiteouts, on: "inproc:overlay", kills: kills, symptom: symptom) {
      $0.wrap(LayerSubject.self) { subject in
        subject.differ = AlteredDiffer(base: subject.differ, digest: subject.digest) { $0.compactMap(change) }
      }
    }
  }

  static func isMark(_ record: TarRecord) -> Bool { record.name.hasPrefix(".wh.") || record.name.contains("/.wh.") }
  static func with(_ record: TarRecord, _ change: (inout TarRecord) -> Void) -> TarRecord {
    var record = record
    change(&record)
    return record
  }

  private static let archives: [Mutant] = [
    archive("LA01", "deletions are left out", in: .whiteouts, kills: ["layers.tree.whiteouts-first", "layers.whiteouts.one-name"], symptom: "names") {
      isMark($0) && !$0.name.hasSuffix(".wh..wh..opq") ? nil : $0
    },
    archive(
      "LA02", "opaque marks are left out", in: .whiteouts, kills: ["layers.tree.whiteouts-last", "layers.whiteouts.opaque-anywhere"], symptom: "names"
    ) { $0.name.hasSuffix(".wh..wh..opq") ? nil : $0 },
    archive("LA03", "marks become files", in: .whiteouts, kills: ["layers.tree.whiteout-of-nothing"], symptom: "names") { record in
      isMark(record) ? with(record) { $0.name = $0.name.replacing(".wh.", with: "wh.") } : record
    },
    applying(
      "LA04", "deletions hit the files of their own layer", in: .whiteouts, kills: ["layers.tree.whiteouts-first", "layers.whiteouts.made-again"]
    ) { applier in
      applier.rewrite = { records in
        let deleted = Set(records.filter(isMark).map { $0.name.replacing(".wh.", with: "") })
        return records.filter { !deleted.contains($0.name) && !deleted.contains($0.name + "/") }
      }
    },
    archive("LA05", "owners are root's", kills: ["layers.tree.entries"], symptom: "owners") { record in with(record) { $0.owner = 0 } },
    archive("LA06", "hard links become empty files", kills: ["layers.tree.hard-links"], symptom: "link") { record in
      record.type == "1" ? with(record) { $0.type = "0" } : record
    },
    archive("LA07", "a directory over a directory is skipped", kills: ["layers.tree.type-clash"], symptom: "mode of the directory") { record in
      record.name == "stays-dir/" && record.mode == 0o700 ? nil : record
    },
    archive("LA08", "extended headers are ignored", kills: ["layers.tree.attributes", "layers.tree.long-names", "layers.tree.large-ids"]) {
      $0.type == "x" ? nil : $0
    },
    archive("LA09", "set-uid and its like are left out", kills: ["layers.tree.modes"], symptom: "suid") { record in with(record) { $0.mode &= 0o777 } },
    archive("LA10", "GNU's long names are cut", kills: ["layers.tree.long-names"]) { $0.type == "L" ? nil : $0 },
    archive("LA11", "the entry for the root is ignored", kills: ["layers.tree.root-entry"], symptom: "the root") { $0.name == "./" ? nil : $0 },
    archive("LA12", "minor device numbers are cut at 8 bits", kills: ["layers.tree.kinds"], symptom: "block device") { record in
      with(record) { $0.device.minor &= 0xff }
    },
    archive("LA13", "whatever has .wh in its name is a mark", kills: ["layers.tree.odd-names"], symptom: ".wh") { $0.name.contains(".wh") ? nil : $0 },
    applying("LA14", "the first of two entries wins", kills: ["layers.tree.duplicates"], symptom: "the file") { applier in
      applier.rewrite = { records in
        var seen: Set<String> = []
        return records.filter { $0.type == "x" || seen.insert($0.name).inserted }
      }
    },
    applying("LA15", "links to what is not there are skipped", kills: ["layers.tree.hard-link-nowhere"], symptom: "it succeeded") { applier in
      applier.rewrite = { $0.filter { $0.link != "missing" } }
    },
  ]

  private static let trees: [Mutant] = [
    applying("LA20", "parents that are made are root's only", kills: ["layers.tree.parents"], symptom: "a parent that is missing") { applier in
      applier.after = { root in _ = chmod(root + "/made", 0o700) }
    },
    applying("LA21", "directories' times are those of their last entry", kills: ["layers.tree.attributes"], symptom: "time of a directory") { applier in
      applier.after = { root in try OnDisk.each(root) { path, status in if status.st_mode & 0o170000 == 0o040000 { utimensat(AT_FDCWD, path, nil, 0) } } }
    },
    applying("LA22", "entries that lead out of the tree are written there", kills: ["layers.tree.no-way-out-links"], symptom: "of the machine") { applier in
      applier.onApply = { base, layer, content, mounts, options in
        let reader = try await content.reader(layer.digest)
        for record in TarRecord.records(of: try await reader.read(at: 0, count: Int(layer.size))) where record.name == "out/victim" {
          try Files.writeAtomically(record.contents, to: "/tmp/containerd-conformance-outside-\(getpid())/victim")
        }
        await reader.close()
        return try await base.apply(layer, from: content, to: mounts, options: options)
      }
    },
    applying("LA23", "entries that lead out of the tree are lost without an error", kills: ["layers.tree.no-way-out"], symptom: "not in the tree") { applier in
      applier.after = { root in try Files.removeTree(root + "/escaped") }
    },
  ]

  private static let calls: [Mutant] = [
    call("LA30", "the descriptor's digest is not that of the archive", kills: ["layers.apply.says-what-it-was"], symptom: "size") {
      base, layer, content, mounts, options in
      var applied = try await base.apply(layer, from: content, to: mounts, options: options)
      applied.size += 1
      return applied
    },
    call("LA31", "DiffIDs are not compared", kills: ["layers.apply.diff-id"], symptom: "it succeeded") { base, layer, content, mounts, options in
      try await base.apply(layer, from: content, to: mounts, options: ApplyOptions(sync: options.sync))
    },
    call("LA32", "a layer that is missing is empty", kills: ["layers.apply.missing-blob"], symptom: "it succeeded") { base, layer, content, mounts, options in
      try await forgiving(.notFound, base, layer, content, mounts, options)
    },
    call("LA33", "any media type will do", kills: ["layers.apply.media-type"], symptom: "it succeeded") { base, layer, content, mounts, options in
      try await forgiving(.notImplemented, base, layer, content, mounts, options)
    },
    call("LA34", "no mounts, no work, no error", kills: ["layers.apply.no-mounts"], symptom: "it succeeded") { base, layer, content, mounts, options in
      try await forgiving(.invalidArgument, base, layer, content, mounts, options)
    },
    call("LA35", "bytes are not compared with their digest", kills: ["layers.apply.other-bytes"], symptom: "it succeeded") {
      base, layer, content, mounts, options in
      try await forgiving(.failedPrecondition, base, layer, content, mounts, options)
    },
    call("LA36", "an archive ends where it is broken", on: "inproc:overlay", kills: ["layers.apply.broken-archive"], symptom: "it succeeded") {
      base, layer, content, mounts, options in
      try await forgiving(.invalidArgument, base, layer, content, mounts, options)
    },
    Mutant("LA37", "one layer at a time, others are refused", in: .tarApply, on: "inproc:fake", kills: ["layers.apply.at-once"], symptom: "busy") {
      $0.wrap(LayerSubject.self) { subject in
        let busy = Once()
        subject.applier = AlteredApplier(
          base: subject.applier, digest: subject.digest, trees: nil,
          onApply: { base, layer, content, mounts, options in
            if await busy.taken() { throw ContainerdError.unavailable("busy") }
            return try await base.apply(layer, from: content, to: mounts, options: options)
          })
      }
    },
  ]

  private typealias Applying = @Sendable (any LayerApplier, Descriptor, any ContentProvider, [Mount], ApplyOptions) async throws -> Descriptor
  private static func call(
    _ id: String, _ sentence: String, on base: String = "inproc:fake", kills: [String], symptom: String, _ body: @escaping Applying
  ) -> Mutant { applying(id, sentence, on: base, kills: kills, symptom: symptom) { $0.onApply = body } }

  private static func forgiving(
    _ code: ContainerdError.Code, _ base: any LayerApplier, _ layer: Descriptor, _ content: any ContentProvider, _ mounts: [Mount], _ options: ApplyOptions
  ) async throws -> Descriptor {
    do { return try await base.apply(layer, from: content, to: mounts, options: options) } catch let error as ContainerdError where error.code == code {
      return layer
    }
  }

  private actor Once {
    private var was = false
    func taken() -> Bool {
      defer { was = true }
      return was
    }
  }

  private static let differs: [Mutant] = [
    diffing("LD01", "deletions are not in the layer", kills: ["layers.diff.each-change", "layers.diff.round-trip", "layers.diff.round-trip-all"]) {
      isMark($0) ? nil : $0
    },
    diffing("LD02", "changes of mode alone are not in the layer", kills: ["layers.diff.each-change"], symptom: "no entry mode") {
      $0.name.hasSuffix("mode") ? nil : $0
    },
    diffing("LD03", "extended attributes are not in the layer", kills: ["layers.diff.entries"], symptom: "user.note") { $0.type == "x" ? nil : $0 },
    diffing("LD04", "private attributes are in the layer", kills: ["layers.diff.private"], symptom: "an attribute of the snapshotter's") { record in
      record.type == "x" ? .extended(record.attributes.map { ($0.key, $0.value) } + [("SCHILY.xattr.trusted.overlay.opaque", bytes("y"))]) : record
    },
    diffing("LD05", "set-uid is not in the layer", kills: ["layers.diff.round-trip-all"], symptom: "stat suid") { record in with(record) { $0.mode &= 0o777 } },
    diffing("LD06", "the layer is never compressed", kills: ["layers.diff.media-types", "layers.diff.makes-a-blob"], symptom: "media type") { $0 },
    Mutant(
      "LD07", "every layer has something of its own", in: .whiteouts, on: "inproc:overlay", kills: ["layers.diff.nothing", "layers.diff.same-trees-same-bytes"]
    ) {
      $0.wrap(LayerSubject.self) { subject in
        subject.differ = AlteredDiffer(base: subject.differ, digest: subject.digest) { $0 + [TarRecord("random-\(UInt64.random(in: 0...UInt64.max))")] }
      }
    },
  ]

  private static let controls: [Mutant] = [
    archive("layers-identity", "the archive is taken apart and put together", kills: []) { $0 },
    applying("layers-marks-first", "marks are applied before everything else", kills: []) { applier in
      applier.rewrite = { records in records.contains { $0.type == "x" || $0.type == "L" } ? records : records.filter(isMark) + records.filter { !isMark($0) } }
    },
  ]
}
