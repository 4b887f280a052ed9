import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites

/// Faults of file systems that a snapshotter's mounts make: one call that answers wrongly.
enum FileMutants {
  static let all: [Mutant] = names + controls

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .fileSemantics, on base: String = "inproc:overlay", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout MountSubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, threads: threads) { $0.wrap(MountSubject.self) { change(&$0) } }
  }

  /// The call's way to say no.
  static func refuse(_ number: Int32) -> Int32 {
    clinux_set_errno(number)
    return -1
  }

  private static let names: [Mutant] = [
    mutant("FS01", "a directory with entries is replaced by a rename", kills: ["files.rename.matrix"], symptom: "ENOTEMPTY") { subject in
      let good = subject.calls
      subject.calls.rename = { old, new, flags in
        let result = good.rename(old, new, flags)
        return result < 0 && clinux_errno() == ENOTEMPTY ? 0 : result
      }
    },
    mutant("FS02", "RENAME_NOREPLACE replaces", kills: ["files.rename.flags"], symptom: "EEXIST") { subject in
      let good = subject.calls
      subject.calls.rename = { good.rename($0, $1, $2 == 1 ? 0 : $2) }
    },
    mutant(
      "FS03", "a directory whose lower entries are deleted cannot be removed", kills: ["files.rmdir.whited-out"], symptom: "ENOTEMPTY",
      threads: ["moby/moby#25244"]
    ) { subject in
      let good = subject.calls
      subject.calls.rmdir = { $0.hasSuffix("/full") ? refuse(ENOTEMPTY) : good.rmdir($0) }
    },
    mutant("FS04", "a path through a file is missing, not no directory", kills: ["files.names.lookup"], symptom: "ENOTDIR") { subject in
      let good = subject.calls
      subject.calls.open = { path, flags, mode in
        let result = good.open(path, flags, mode)
        if result < 0, clinux_errno() == ENOTDIR { clinux_set_errno(ENOENT) }
        return result
      }
    },
    mutant("FS05", "names of more than 250 bytes are refused", kills: ["files.names.long"], symptom: "ENAMETOOLONG") { subject in
      let good = subject.calls
      subject.calls.open = { path, flags, mode in (path.split(separator: "/").last?.utf8.count ?? 0) > 250 ? refuse(ENAMETOOLONG) : good.open(path, flags, mode)
      }
    },
    mutant("FS06", "names differ by case only where they were made first", kills: ["files.names.distinct"], symptom: "CASE") { subject in
      let good = subject.calls
      subject.calls.open = { path, flags, mode in good.open(path.hasSuffix("/CASE") ? String(path.dropLast(4)) + "case" : path, flags, mode) }
    },
  ]

  private static let controls: [Mutant] = [
    mutant("files-identity", "every call is handed on", kills: []) { subject in
      let good = subject.calls
      subject.calls.rename = { good.rename($0, $1, $2) }
      subject.calls.open = { good.open($0, $1, $2) }
      subject.calls.list = { good.list($0).map { $0.reversed() } }
    }
  ]
}
