import CLinux
import ConformanceKit
import ConformanceSuites
import Hashing
import Protocols

/// Faults of appliers and differs that only some layers show.
enum LayerSequenceMutants {
  static let all: [Mutant] = orders + archives + trees + differences

  private static let orders: [Mutant] = [
    mutant("MD51", "a whiteout that comes after another entry of its directory is ignored") { names, name in
      whiteout(name) != nil && names.contains { directory($0) == directory(name) && whiteout($0) == nil }
    },
    mutant("MD52", "of two whiteouts in one directory the second is ignored") { names, name in
      whiteout(name) != nil && names.contains { directory($0) == directory(name) && whiteout($0) != nil }
    },
    mutant("MD53", "an opaque marker after an entry of its directory is ignored") { names, name in
      name.hasSuffix("/.wh..wh..opq") && names.contains { $0.hasPrefix(directory(name) + "/") && $0 != directory(name) + "/" }
    },
  ]

  /// What is wrong with single entries: seen beside the rules and beside GNU tar.
  private static let archives: [Mutant] = [
    entries("ML01", "a change of owner clears set-uid") { record in
      if record.owner != 0 || record.group != 0, record.type == "0" { record.mode &= 0o1777 }
    },
    archive("ML02", "a hard link to a symbolic link is one to what that leads to", kills: both) { records in
      let links = records.filter { $0.type == "2" && !$0.link.contains("/") }
      let targets = Dictionary(links.map { ($0.name, directory($0.name).isEmpty ? $0.link : directory($0.name) + "/" + $0.link) }) { $1 }
      let files = Set(records.filter { $0.type == "0" }.map(\.name))
      return records.map { record in
        guard record.type == "1", let target = targets[record.link], files.contains(target) else { return record }
        return LayerMutants.with(record) { $0.link = target }
      }
    },
    archive("ML03", "extended attributes of directories are left out", kills: both) { records in
      records.enumerated().map { place, record in
        guard record.type == "x", records.indices.contains(place + 1), records[place + 1].type == "5" else { return record }
        return .extended(record.attributes.filter { !$0.key.hasPrefix("SCHILY.xattr.") }.map { ($0.key, $0.value) })
      }
    },
    archive("ML04", "capabilities are lost where the owner is not root", kills: both) { records in
      records.enumerated().map { place, record in
        guard record.type == "x", records.indices.contains(place + 1), records[place + 1].owner != 0 else { return record }
        return .extended(record.attributes.filter { $0.key != "SCHILY.xattr.security.capability" }.map { ($0.key, $0.value) })
      }
    },
    keys("ML05", "attributes end at their first zero byte") { $0.hasPrefix("SCHILY.xattr.user.") ? Array($1.prefix { $0 != 0 }) : $1 },
    keys("ML06", "times are cut to seconds") { $0 == "mtime" ? nil : $1 },
    keys("ML07", "long names are cut to the first hundred bytes", symptom: "a-name-of-many") { $0 == "path" ? nil : $1 },
    keys("ML08", "long targets of links are cut to the first hundred bytes", symptom: "a-name-of-many") { $0 == "linkpath" ? nil : $1 },
    entries("ML09", "devices lose their numbers") { record in if record.type == "3" || record.type == "4" { record.device = (0, 1) } },
    entries("ML10", "FIFOs come out as empty files") { record in if record.type == "6" { record.type = "0" } },
    archive("ML11", "a directory that is told of after what is in it keeps what was made up for it", kills: both) { records in
      var seen: Set<String> = []
      return dropping(records) { record in
        let above = directory(record.name)
        if !above.isEmpty { seen.insert(above) }
        return record.type == "5" && seen.contains(String(record.name.dropLast()))
      }
    },
    archive("ML12", "a directory over a directory empties it", kills: ["layers.model.apply"]) { records in
      records.flatMap { $0.type == "5" ? [$0, TarRecord($0.name + ".wh..wh..opq")] : [$0] }
    },
    archive("ML13", "a hard link to a file of a lower layer is a file of its own", kills: ["layers.model.apply"]) { records in
      let own = Set(records.filter { $0.type != "1" }.map(\.name))
      return records.map { record in
        record.type == "1" && !own.contains(record.link) ? LayerMutants.with(record) { ($0.type, $0.link) = ("0", "") } : record
      }
    },
  ]

  /// What is wrong with a tree when everything is in it.
  private static let trees: [Mutant] = [
    applied("ML14", "directories have the time of what was made in them last", kills: ["layers.model.apply"]) { path, status in
      if status.st_mode & 0o170000 == 0o040000 { utimensat(AT_FDCWD, path, nil, 0) }
    },
    applied("ML15", "symbolic links belong to root") { path, status in if status.st_mode & 0o170000 == 0o120000 { lchown(path, 0, 0) } },
    applied("ML16", "sticky bits are lost") { path, status in
      if status.st_mode & 0o170000 == 0o040000, status.st_mode & 0o1000 != 0 { chmod(path, status.st_mode & 0o6777) }
    },
  ]

  private static let differences: [Mutant] = [
    difference("ML17", "hard links come into a layer as files of their own") { records in
      records.map { record in
        guard record.type == "1", let first = records.first(where: { $0.type == "0" && $0.name == record.link }) else { return record }
        return LayerMutants.with(record) { ($0.type, $0.link, $0.contents) = ("0", "", first.contents) }
      }
    },
    difference("ML18", "directories are not told of where something is in them") { records in
      let above = Set(records.map { directory($0.name) })
      return dropping(records) { $0.type == "5" && above.contains(String($0.name.dropLast())) }
    },
    difference("ML19", "owners of symbolic links are root's") { records in
      records.map { record in record.type == "2" ? LayerMutants.with(record) { ($0.owner, $0.group) = (0, 0) } : record }
    },
    difference("ML20", "FIFOs are left out") { dropping($0) { $0.type == "6" } },
    difference("ML21", "of names that are gone the last is forgotten") { records in
      let last = records.last { whiteout($0.name) != nil }?.name
      return dropping(records) { $0.name == last }
    },
  ]

  private static let both = ["layers.model.apply", "layers.model.like-tar"]

  private static func archive(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "the tree", _ rewrite: @escaping @Sendable ([TarRecord]) -> [TarRecord]
  ) -> Mutant { altered(id, sentence, kills: kills, symptom: symptom) { $0.rewrite = rewrite } }
  private static func applied(
    _ id: String, _ sentence: String, kills: [String] = both, _ change: @escaping @Sendable (_ path: String, stat) -> Void
  ) -> Mutant {
    altered(id, sentence, kills: kills) { $0.after = { root in try OnDisk.each(root) { path, status in if path != root { change(path, status) } } } }
  }
  private static func altered(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "the tree", _ change: @escaping @Sendable (inout AlteredApplier) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .tarApply, on: "inproc:overlay", kills: kills, symptom: symptom, scope: kills) {
      $0.wrap(LayerSubject.self) { subject in
        var applier = AlteredApplier(base: subject.applier, digest: subject.digest, trees: subject.trees)
        change(&applier)
        subject.applier = applier
      }
    }
  }
  private static func difference(_ id: String, _ sentence: String, _ rewrite: @escaping @Sendable ([TarRecord]) -> [TarRecord]) -> Mutant {
    Mutant(
      id, sentence, in: .whiteouts, on: "inproc:overlay", kills: ["layers.model.round-trip"], symptom: "after the difference",
      scope: ["layers.model.round-trip"]
    ) {
      $0.wrap(LayerSubject.self) { subject in subject.differ = AlteredDiffer(base: subject.differ, digest: subject.digest, rewrite: rewrite) }
    }
  }
  /// Leaves records out, each with the extended header before it.
  private static func dropping(_ records: [TarRecord], _ isLost: (TarRecord) -> Bool) -> [TarRecord] {
    var kept: [TarRecord] = []
    var header: TarRecord?
    for record in records {
      if record.type == "x" {
        header = record
      } else {
        if !isLost(record) { kept += (header.map { [$0] } ?? []) + [record] }
        header = nil
      }
    }
    return kept
  }
  /// Every entry is changed.
  private static func entries(_ id: String, _ sentence: String, _ change: @escaping @Sendable (inout TarRecord) -> Void) -> Mutant {
    archive(id, sentence, kills: both) { $0.map { LayerMutants.with($0, change) } }
  }
  /// What stands in extended headers is changed, or left out.
  private static func keys(
    _ id: String, _ sentence: String, symptom: String = "the tree", _ change: @escaping @Sendable (_ key: String, _ value: [UInt8]) -> [UInt8]?
  ) -> Mutant {
    archive(id, sentence, kills: both, symptom: symptom) { records in
      records.map { record in
        record.type == "x" ? .extended(record.attributes.sorted { $0.key < $1.key }.compactMap { key, value in change(key, value).map { (key, $0) } }) : record
      }
    }
  }

  private static func directory(_ name: String) -> String { name.split(separator: "/").dropLast().joined(separator: "/") }
  private static func whiteout(_ name: String) -> Substring? {
    let last = name.split(separator: "/").last ?? ""
    return last.hasPrefix(".wh.") && last != ".wh..wh..opq" ? last.dropFirst(4) : nil
  }

  /// - Parameter ignored: given the names before it in the archive, whether an entry is left out.
  static func mutant(_ id: String, _ sentence: String, _ ignored: @escaping @Sendable (_ before: [String], _ name: String) -> Bool) -> Mutant {
    Mutant(
      id, sentence, in: .whiteouts, on: "inproc:overlay", kills: ["layers.model.apply"], symptom: "the tree of", scope: ["layers.model"]
    ) {
      $0.wrap(LayerSubject.self) { subject in
        subject.applier = AlteredApplier(base: subject.applier, digest: subject.digest, trees: subject.trees) { records in
          var before: [String] = []
          return dropping(records) { record in
            defer { before.append(record.name) }
            return ignored(before, record.name)
          }
        }
      }
    }
  }
}
