import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Protocols

/// Faults of file systems that a snapshotter's mounts make.
enum FileMutants {
  static let all: [Mutant] = names + opening + linking + kinds + layers + permissions + controls

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .fileSemantics, on base: String = "inproc:overlay", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout MountSubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, threads: threads) { $0.wrap(MountSubject.self) { change(&$0) } }
  }

  /// One system call answers wrongly. The body replaces calls; it is given the good ones.
  static func call(
    _ id: String, _ sentence: String, in group: CaseGroup = .fileSemantics, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (_ calls: inout FileCalls, _ good: FileCalls) -> Void
  ) -> Mutant {
    mutant(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) { subject in
      let good = subject.calls
      change(&subject.calls, good)
    }
  }

  /// The mounts are performed differently.
  static func mounted(
    _ id: String, _ sentence: String, in group: CaseGroup = .fileSemantics, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (Mount) -> Mount
  ) -> Mutant {
    mutant(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) { subject in
      subject.access = AlteredTrees(base: subject.access, mounts: { $0.map(change) })
    }
  }

  /// Commit changes the files of the layer, name by name.
  static func commit(
    _ id: String, _ sentence: String, in group: CaseGroup, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (_ path: String, stat) throws -> Void
  ) -> Mutant {
    mutant(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) { subject in
      subject.snapshotter = SnapshotterWrapper(subject.snapshotter) {
        $0.onCommit = { base, name, key, labels in
          if let upper = OnDisk.upper(try await base.mounts(key)) { try OnDisk.each(upper, change) }
          try await base.commit(name, key: key, labels: labels)
        }
      }
    }
  }

  /// The call's way to say no.
  static func refuse(_ number: Int32) -> Int32 {
    clinux_set_errno(number)
    return -1
  }

  static func parent(_ path: String) -> String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }

  private static let controls: [Mutant] = [
    call("files-identity", "every call is handed on, and directories are read backwards", kills: []) { calls, good in
      calls.rename = { good.rename($0, $1, $2) }
      calls.open = { good.open($0, $1, $2) }
      calls.list = { good.list($0).map { $0.reversed() } }
    },
    mounted("files-other-order", "the mounts' options come in another order", kills: []) { mount in
      var mount = mount
      mount.options.reverse()
      return mount
    },
    mutant("files-walked-before", "somebody has read the whole tree before", kills: []) { subject in
      subject.access = AlteredTrees(base: subject.access, entered: { root in try OnDisk.each(root) { _, _ in } })
    },
  ]
}
