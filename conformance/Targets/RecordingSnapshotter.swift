import ConformanceKit
import ConformanceSuites
import Protocols

/// Writes down every call, with the line of `ctr` that makes the same.
struct RecordingSnapshotter: Snapshotter {
  let base: any Snapshotter
  let record: Record
  /// `ctr --address SOCK -n NS snapshots --snapshotter N`, as words.
  let tool: [String]

  private func recorded<Value>(
    _ text: String, _ words: [String] = [], note: String = "", told: (Value) -> String = { _ in "" }, _ body: () async throws -> Value
  ) async throws -> Value {
    let command = words.isEmpty ? "" : Shell.line(tool + words) + (note.isEmpty ? "" : "  # \(note)")
    do {
      let value = try await body()
      record.add(text, command: command, outcome: told(value))
      return value
    } catch {
      record.add(text, command: command, outcome: "\(error)")
      throw error
    }
  }

  private func note(_ labels: Labels) -> String { labels.isEmpty ? "" : "with the labels \(labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })" }

  func stat(_ key: String) async throws -> SnapshotInfo {
    try await recorded("stat \"\(key)\"", ["info", key], told: { "\($0)" }) { try await base.stat(key) }
  }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    let labels = info.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return try await recorded(
      "update \"\(info.name)\" to the labels \(labels), mask \(fields.paths)", ["label", info.name] + labels,
      note: "field mask \(fields.paths)", told: { "\($0)" }
    ) { try await base.update(info, fields: fields) }
  }

  func usage(_ key: String) async throws -> SnapshotUsage {
    try await recorded("usage of \"\(key)\"", ["usage", "-b", key], told: { "\($0)" }) { try await base.usage(key) }
  }

  func mounts(_ key: String) async throws -> [Mount] {
    try await recorded("mounts of \"\(key)\"", ["mounts", "$MNT", key], told: { "\($0)" }) { try await base.mounts(key) }
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await recorded(
      "prepare \"\(key)\" on \"\(parent ?? "")\"", ["prepare", "--mounts", key] + (parent.map { [$0] } ?? []), note: note(labels), told: { "\($0)" }
    ) { try await base.prepare(key, parent: parent, labels: labels) }
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await recorded(
      "view \"\(key)\" of \"\(parent ?? "")\"", ["view", "--mounts", key] + (parent.map { [$0] } ?? []), note: note(labels), told: { "\($0)" }
    ) { try await base.view(key, parent: parent, labels: labels) }
  }

  func commit(_ name: String, key: String, labels: Labels) async throws {
    try await recorded("commit \"\(key)\" as \"\(name)\"", ["commit", name, key], note: note(labels)) { try await base.commit(name, key: key, labels: labels) }
  }

  func remove(_ key: String) async throws { try await recorded("remove \"\(key)\"", ["rm", key]) { try await base.remove(key) } }

  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    try await recorded("walk", ["ls"]) { try await base.walk(filters, visit) }
  }

  func cleanup() async throws { try await recorded("cleanup", note: "") { try await base.cleanup() } }
  func close() async throws { try await recorded("close") { try await base.close() } }
}

/// Writes down what is mounted, and what is done in the tree.
struct RecordingTrees: TreeAccess {
  let base: any TreeAccess
  let record: Record

  func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? { try base.stored(path, of: mounts) }

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    for mount in mounts {
      let options = mount.options.isEmpty ? [] : ["-o", mount.options.joined(separator: ",")]
      let kind = mount.type == "bind" ? [] : ["-t", mount.type]
      record.add("mount \(mount.type) \(mount.source)", command: Shell.line(["mount"] + kind + options + [mount.source, "$MNT/" + mount.target]))
    }
    defer { record.add("unmount", command: "umount \"$MNT\"") }
    let record = record
    try await base.enter(mounts) { try body(RecordingTree(base: $0, record: record)) }
  }
}

private struct RecordingTree: Tree {
  let base: any Tree
  let record: Record

  private func recorded<Value>(_ text: String, _ words: [String], _ body: () throws -> Value) throws -> Value {
    do {
      let value = try body()
      record.add(text, command: Shell.line(words))
      return value
    } catch {
      record.add(text, command: Shell.line(words), outcome: "\(error)")
      throw error
    }
  }
  private func at(_ path: String) -> String { "$MNT/" + path }

  func write(_ path: String, _ bytes: [UInt8]) throws {
    try recorded("write \(bytes.count) bytes to \(path)", ["dd", "if=/dev/urandom", "of=" + at(path), "bs=\(bytes.count)", "count=1", "conv=fsync"]) {
      try base.write(path, bytes)
    }
  }
  func extend(_ path: String, to size: Int) throws {
    try recorded("make \(path) \(size) bytes long", ["truncate", "-s", "\(size)", at(path)]) { try base.extend(path, to: size) }
  }
  func read(_ path: String) throws -> [UInt8]? { try recorded("read \(path)", ["cat", at(path)]) { try base.read(path) } }
  var directory: String? { base.directory }
  func makeDirectory(_ path: String) throws { try recorded("make the directory \(path)", ["mkdir", at(path)]) { try base.makeDirectory(path) } }
  func remove(_ path: String) throws { try recorded("remove \(path)", ["rm", "-r", at(path)]) { try base.remove(path) } }
  func link(_ existing: String, _ new: String) throws {
    try recorded("link \(existing) as \(new)", ["ln", at(existing), at(new)]) { try base.link(existing, new) }
  }
  func symlink(_ target: String, _ new: String) throws {
    try recorded("symbolic link \(new) to \(target)", ["ln", "-s", target, at(new)]) { try base.symlink(target, new) }
  }
  func rename(_ old: String, _ new: String) throws { try recorded("rename \(old) to \(new)", ["mv", at(old), at(new)]) { try base.rename(old, new) } }
  func setMode(_ path: String, _ mode: UInt32, owner: UInt32, group: UInt32) throws {
    try recorded("mode of \(path)", ["sh", "-c", "chown \(owner):\(group) \(at(path)); chmod \(String(mode, radix: 8)) \(at(path))"]) {
      try base.setMode(path, mode, owner: owner, group: group)
    }
  }
  func mode(_ path: String) throws -> (mode: UInt32, owner: UInt32, group: UInt32) {
    try recorded("mode of \(path)", ["stat", at(path)]) { try base.mode(path) }
  }
  func names(_ path: String) throws -> [String] { try recorded("names in \(path)", ["ls", "-A", at(path)]) { try base.names(path) } }
}
