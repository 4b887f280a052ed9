import CLinux
import ConformanceKit
import ConformanceModels
import ConformanceSuites
import ConformanceSystemSuites
import Protocols
import SystemKit

/// Faults of lazy snapshotters: the executable specification with each of them in turn, and trees of the FUSE snapshotter that are not what they should be.
enum LazyMutants {
  static let all: [Mutant] = models + views + controls

  private static let models: [Mutant] = [
    mutant("LZ01", "bytes are served unchecked", .servesUnchecked, kills: ["lazy.answer.wrong"], symptom: "wrong bytes were served"),
    mutant("LZ02", "a short answer is the end of the file", .takesShortForEnd, kills: ["lazy.answer.short"], symptom: "the image has"),
    mutant("LZ03", "a refused range is the end of the file", .takesRefusalForEnd, kills: ["lazy.answer.refused"], symptom: "the image has"),
    mutant(
      "LZ04", "a fetch is tried once", .triesOnce, kills: ["lazy.source.short-break", "lazy.answer.broken-off"], symptom: "cannot be read",
      threads: ["dragonflyoss/nydus#148"]),
    mutant(
      "LZ05", "what failed once fails until the tree is mounted anew", .staysBroken,
      kills: ["lazy.source.back", "lazy.answer.wrong", "lazy.answer.short", "lazy.answer.refused"], symptom: "cannot be read after",
      threads: ["containerd/stargz-snapshotter#1905"]),
    mutant(
      "LZ06", "a read waits for the source for ever", .waitsForEver, kills: ["lazy.source.gone"], symptom: "no answer within",
      threads: ["containerd/stargz-snapshotter#318"]),
    mutant("LZ07", "the source is asked for what is here", .asksForWhatIsHere, kills: ["lazy.read.here"], symptom: "cannot be read while the source is away"),
    mutant(
      "LZ08", "credentials are kept when they have run out", .keepsToken, kills: ["lazy.credentials.renewed"], symptom: "after its credentials ran out",
      threads: ["containerd/nydus-snapshotter#690"]),
    mutant("LZ09", "a layer is fetched whole", .fetchesLayers, kills: ["lazy.read.small"], symptom: "bytes of"),
    mutant("LZ10", "nothing that was fetched is kept", .fetchesAgain, kills: ["lazy.read.all", "lazy.read.here"], symptom: ""),
    mutant("LZ11", "each thread fetches for itself", .fetchesForEach, kills: ["lazy.read.threads"], symptom: "eight threads fetched"),
    mutant("LZ12", "threads wait for one another", .deadlocks, kills: ["lazy.read.threads"], symptom: "no answer within"),
    mutant(
      "LZ13", "calls wait while a read does", .locksCalls, kills: ["lazy.source.others"], symptom: "no answer within",
      threads: ["containerd/nydus-snapshotter#144"]),
    mutant(
      "LZ14", "mounts stay when the layers are removed", .leavesMounts, kills: ["lazy.remove.unmounts"], symptom: "nothing is mounted",
      threads: ["containerd/stargz-snapshotter#2126"]),
    mutant("LZ15", "bytes stay when the layers are removed", .keepsBytes, kills: ["lazy.remove.frees"], symptom: "are held after"),
    mutant(
      "LZ16", "the end of one container ends the mounts of all", .endsTogether, kills: ["lazy.remove.other"], symptom: "after another container was removed"),
    mutant("LZ17", "tokens are logged", .logsToken, kills: ["lazy.credentials.not-logged"], symptom: "the log has a secret"),
    mutant("LZ18", "a file has the bytes of another place", kills: ["lazy.read.contents", "lazy.read.all"], symptom: "wrong bytes were served") {
      $0.trees = ShiftedTrees(base: $0.trees)
    },
    mutant(
      "LZ27", "what nobody has asked for is fetched before what somebody waits for", .fillsFirst, kills: ["lazy.source.slow"], symptom: "over a slow line"),
  ]

  /// A way for the eye of the case, on real mounts: the container's tree is changed before it is looked at.
  private static let views: [Mutant] = [
    view("LZ19", "the set-uid bit is lost") { root in try check("chmod", root) { chmod("\(root)/odd/suid", 0o755) } },
    view("LZ20", "attributes are lost") { root in try check("lremovexattr", root) { lremovexattr("\(root)/odd/attributes", "user.note") } },
    view("LZ21", "names of one file are files of their own") { root in
      let text = try Files.read("\(root)/names-1")
      let status = try Files.status("\(root)/names-1")
      unlink("\(root)/names-2")
      try Files.writeAtomically(text, to: "\(root)/names-2", mode: status.st_mode & 0o777)
    },
    view("LZ22", "what an upper layer deleted is there") { try Files.writeAtomically([1], to: "\($0)/gone", mode: 0o644) },
    view("LZ23", "a device is a plain file") { root in
      unlink("\(root)/odd/null")
      try Files.writeAtomically([], to: "\(root)/odd/null", mode: 0o666)
    },
    view("LZ24", "times are those of the mount") { root in
      try check("utimensat", root) { utimensat(AT_FDCWD, "\(root)/odd/attributes", nil, 0) }
    },
    view("LZ25", "holes are cut off") { root in try check("truncate", root) { truncate("\(root)/odd/sparse", 1 << 20) } },
    Mutant(
      "LZ26", "a file that is changed loses what was behind the change", in: .lazy, on: "inproc:fuse", kills: ["lazy.tree.writes"], symptom: "a changed file",
      scope: ["lazy.tree.writes"]
    ) {
      $0.wrap(LazySubject.self) { subject in
        subject.trees = AlteredLazyTrees(base: subject.trees) { root in try check("truncate", root) { truncate("\(root)/large", 5 << 20) } }
      }
    },
    view("LZ28", "set-uid bits and devices are not in force", kills: "lazy.tree.users", symptom: "in a lazy tree") { root in
      // MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV (mount(2)).
      try check("mount", root) { mount(nil, root, nil, 32 | 4096 | 2 | 4, nil) }
    },
    view("LZ29", "the tree is for root alone", kills: "lazy.tree.users", symptom: "in a lazy tree") { root in
      try check("chmod", root) { chmod(root, 0o700) }
    },
  ]

  private static let controls: [Mutant] = [
    mutant("identity-lazy", "every read is handed on unchanged", kills: []) { $0.trees = PassedTrees(base: $0.trees) }
  ]

  private static func mutant(
    _ id: String, _ sentence: String, _ fault: LazyModel.Fault, kills: [String], symptom: String, threads: [String] = []
  ) -> Mutant {
    Mutant(id, sentence, in: .lazy, on: "inproc:fake-lazy", kills: kills, symptom: symptom, scope: kills, threads: threads) {
      $0[LazySubject.self] = { _ in LazyModel.subject(fault) }
    }
  }

  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout LazySubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .lazy, on: "inproc:fake-lazy", kills: kills, symptom: symptom, scope: kills.isEmpty ? ["lazy.*"] : kills) {
      $0.wrap(LazySubject.self, change)
    }
  }

  private static func view(
    _ id: String, _ sentence: String, kills: String = "lazy.tree.equal", symptom: String = "the lazy tree is another",
    _ change: @escaping @Sendable (_ root: String) throws -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .lazy, on: "inproc:fuse", kills: [kills], symptom: symptom, scope: [kills]) {
      $0.wrap(LazySubject.self) { $0.trees = AlteredLazyTrees(base: $0.trees, entered: change) }
    }
  }
}

/// A tree that is changed before anybody looks.
private struct AlteredLazyTrees: LazyTreeAccess {
  let base: any LazyTreeAccess
  let entered: @Sendable (_ root: String) throws -> Void

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    let entered = entered
    try await base.enter(mounts) { tree in
      if let root = tree.directory { try entered(root) }
      try body(tree)
    }
  }
}

private struct PassedTrees: LazyTreeAccess {
  let base: any LazyTreeAccess
  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws { try await base.enter(mounts, body) }
}

/// Reads behind the first mebibyte are one byte off.
private struct ShiftedTrees: LazyTreeAccess {
  let base: any LazyTreeAccess

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    try await base.enter(mounts) { try body(Shifted(base: $0)) }
  }

  private struct Shifted: LazyTree {
    let base: any LazyTree
    var directory: String? { base.directory }
    func read(_ path: String, at offset: Int, count: Int) throws -> [UInt8] {
      let bytes = try base.read(path, at: offset, count: count)
      if offset + bytes.count <= 1 << 20 { return bytes }
      return Array(bytes.dropFirst()) + [bytes[0] ^ 1]
    }
  }
}
