import ConformanceKit
import ConformanceSuites
import ContainerdAPI
import Hashing
import Protocols
import SwiftProtobuf

/// Writes down every call, with the line of `ctr` that makes the same.
struct RecordingSnapshotter: Snapshotter {
  let base: any Snapshotter
  let record: Record
  /// `ctr --address SOCK -n NS snapshots --snapshotter N`, as words.
  let tool: [String]
  /// How the snapshotter is called in requests.
  let name: String
  let answers: Answers

  private func recorded<Value>(
    _ text: String, _ words: [String] = [], note: String = "", script: ([String], String)? = nil, told: (Value) -> String = { _ in "" },
    answer: (Value) -> String = { _ in "ok" }, _ body: () async throws -> Value
  ) async throws -> Value {
    let command = words.isEmpty || tool.isEmpty ? "" : Shell.line(tool + words) + (note.isEmpty ? "" : "  # \(note)")
    record.begins(text)
    defer { record.ends(text) }
    func call(_ slot: Int) -> String? { script.map { Shell.line($0.0.map { $0 == "@" ? "\(slot)" : $0 } + ($0.1.isEmpty ? [] : [$0.1])) } }
    do {
      let value = try await body()
      let slot = (value as? [Mount]).map(answers.number) ?? 0
      record.add(text, command: command, outcome: told(value), script: call(slot), answer: answer(value))
      return value
    } catch {
      record.add(text, command: command, outcome: "\(error)", script: call(0), answer: Answers.refusal(error))
      throw error
    }
  }

  private func note(_ labels: Labels) -> String { labels.isEmpty ? "" : "with the labels \(labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })" }
  private typealias API = Containerd_Services_Snapshots_V1_Snapshots

  /// Whether `ctr` takes the words as keys.
  private func plain(_ keys: String?...) -> Bool { keys.allSatisfy { $0 == nil || ($0?.isEmpty == false && $0?.hasPrefix("-") == false) } }

  func stat(_ key: String) async throws -> SnapshotInfo {
    let request = Containerd_Services_Snapshots_V1_StatSnapshotRequest.with {
      $0.snapshotter = name
      $0.key = key
    }
    return try await recorded(
      "stat \"\(key)\"", ["info", key], script: (["snapshot_info", key], plain(key) ? "" : GRPCFrame.hex(request)), told: { "\($0)" }, answer: answers.of
    ) { try await base.stat(key) }
  }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    let labels = info.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let request = Containerd_Services_Snapshots_V1_UpdateSnapshotRequest.with {
      $0.snapshotter = name
      $0.info.name = info.name
      $0.info.labels = info.labels
      $0.updateMask.paths = fields.paths
    }
    return try await recorded(
      "update \"\(info.name)\" to the labels \(labels), mask \(fields.paths)", ["label", info.name] + labels,
      note: "field mask \(fields.paths)", script: (["snapshot_update"], GRPCFrame.hex(request)), told: { "\($0)" }, answer: answers.of
    ) { try await base.update(info, fields: fields) }
  }

  func usage(_ key: String) async throws -> SnapshotUsage {
    let request = Containerd_Services_Snapshots_V1_UsageRequest.with {
      $0.snapshotter = name
      $0.key = key
    }
    return try await recorded(
      "usage of \"\(key)\"", ["usage", "-b", key], script: (["snapshot_usage", key], plain(key) ? "" : GRPCFrame.hex(request)), told: { "\($0)" },
      answer: answers.of
    ) { try await base.usage(key) }
  }

  func mounts(_ key: String) async throws -> [Mount] {
    let request = Containerd_Services_Snapshots_V1_MountsRequest.with {
      $0.snapshotter = name
      $0.key = key
    }
    return try await recorded(
      "mounts of \"\(key)\"", ["mounts", "$MNT", key], script: (["snapshot_mounts", "@"], GRPCFrame.hex(request)), told: { "\($0)" }, answer: answers.of
    ) { try await base.mounts(key) }
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let request = Containerd_Services_Snapshots_V1_PrepareSnapshotRequest.with {
      $0.snapshotter = name
      $0.key = key
      $0.parent = parent ?? ""
      $0.labels = labels
    }
    return try await recorded(
      "prepare \"\(key)\" on \"\(parent ?? "")\"", ["prepare", "--mounts", key] + (parent.map { [$0] } ?? []), note: note(labels),
      script: (["snapshot_make", "@", "prepare", key, parent ?? ""], plain(key, parent) && labels.isEmpty ? "" : GRPCFrame.hex(request)), told: { "\($0)" },
      answer: answers.of
    ) { try await base.prepare(key, parent: parent, labels: labels) }
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let request = Containerd_Services_Snapshots_V1_ViewSnapshotRequest.with {
      $0.snapshotter = name
      $0.key = key
      $0.parent = parent ?? ""
      $0.labels = labels
    }
    return try await recorded(
      "view \"\(key)\" of \"\(parent ?? "")\"", ["view", "--mounts", key] + (parent.map { [$0] } ?? []), note: note(labels),
      script: (["snapshot_make", "@", "view", key, parent ?? ""], plain(key, parent) && labels.isEmpty ? "" : GRPCFrame.hex(request)), told: { "\($0)" },
      answer: answers.of
    ) { try await base.view(key, parent: parent, labels: labels) }
  }

  func commit(_ name: String, key: String, labels: Labels) async throws {
    let request = Containerd_Services_Snapshots_V1_CommitSnapshotRequest.with {
      $0.snapshotter = self.name
      $0.name = name
      $0.key = key
      $0.labels = labels
    }
    try await recorded(
      "commit \"\(key)\" as \"\(name)\"", ["commit", name, key], note: note(labels),
      script: (["snapshot_commit", name, key], plain(name, key) && labels.isEmpty ? "" : GRPCFrame.hex(request))
    ) {
      try await base.commit(name, key: key, labels: labels)
      answers.forget(snapshot: key)
    }
  }

  func remove(_ key: String) async throws {
    let request = Containerd_Services_Snapshots_V1_RemoveSnapshotRequest.with {
      $0.snapshotter = name
      $0.key = key
    }
    try await recorded("remove \"\(key)\"", ["rm", key], script: (["snapshot_remove", key], plain(key) ? "" : GRPCFrame.hex(request))) {
      try await base.remove(key)
      answers.forget(snapshot: key)
    }
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    let all = Gathering<SnapshotInfo>()
    let request = Containerd_Services_Snapshots_V1_ListSnapshotsRequest.with { $0.snapshotter = name }
    _ = try await recorded(
      "walk", ["ls"], script: (["snapshot_walk"], GRPCFrame.hex(request)),
      told: { (_: [SnapshotInfo]) in "" },
      answer: { Answers.list($0.map(Answers.facts)) }
    ) {
      if !tool.isEmpty {
        try await base.walk(filters) {
          await all.append($0)
          try await visit($0)
        }
      } else {
        // A script asks for everything: filters are the client's, and cannot be read from here.
        try await base.walk(filters, visit)
        try await base.walk(.all) { await all.append($0) }
      }
      return await all.items
    }
  }

  func cleanup() async throws {
    let request = Containerd_Services_Snapshots_V1_CleanupRequest.with { $0.snapshotter = name }
    try await recorded("cleanup", script: (["snapshot_cleanup"], GRPCFrame.hex(request))) { try await base.cleanup() }
  }
  func close() async throws { try await recorded("close") { try await base.close() } }
}

/// Messages as they go over the wire, in hexadecimal digits: what `curl` can send.
enum GRPCFrame {
  static func hex(_ messages: any SwiftProtobuf.Message...) -> String {
    var text = ""
    for message in messages {
      // Every field of these messages can be written down.
      guard let body: [UInt8] = try? message.serializedBytes() else { return "" }
      text += frame(body)
    }
    return text
  }
  /// A message that has been written down, behind the five bytes that say how long it is.
  static func frame(_ body: [UInt8]) -> String {
    let count = UInt32(body.count)
    return hex([0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + body)
  }
  static func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}

/// Writes down what is mounted, and what is done in the tree.
struct RecordingTrees: TreeAccess {
  let base: any TreeAccess
  let record: Record
  let answers: Answers

  func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? { try base.stored(path, of: mounts) }

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    let slot = answers.number(mounts)
    for (number, mount) in mounts.enumerated() {
      let options = mount.options.isEmpty ? [] : ["-o", mount.options.joined(separator: ",")]
      let kind = mount.type == "bind" ? [] : ["-t", mount.type]
      record.add(
        "mount \(mount.type) \(mount.source)", command: Shell.line(["mount"] + kind + options + [mount.source, "$MNT/" + mount.target]),
        script: number == 0 ? "enter \(slot)" : nil, answer: number == 0 ? "ok" : nil)
    }
    record.begins("what is done in the mount")
    defer {
      record.ends("what is done in the mount")
      record.add("unmount", command: "umount \"$MNT\"", script: "leave", answer: "ok")
    }
    let record = record
    try await base.enter(mounts) { try body(RecordingTree(base: $0, record: record)) }
  }
}

private struct RecordingTree: Tree {
  let base: any Tree
  let record: Record
  var directory: String? { base.directory }

  private func recorded<Value>(
    _ text: String, _ words: [String], _ script: [String], answer: (Value) -> String = { _ in "ok" }, _ body: () throws -> Value
  ) throws -> Value {
    do {
      let value = try body()
      record.add(text, command: Shell.line(words), script: Shell.line(script), answer: answer(value))
      return value
    } catch {
      record.add(text, command: Shell.line(words), outcome: "\(error)", script: Shell.line(script), answer: "refused")
      throw error
    }
  }
  private func at(_ path: String) -> String { "$MNT/" + path }

  func write(_ path: String, _ bytes: [UInt8]) throws {
    try recorded(
      "write \(bytes.count) bytes to \(path)", ["dd", "if=/dev/urandom", "bs=\(bytes.count)", "count=1", "conv=fsync", "of=" + at(path)],
      ["tree_write", path] + ShellBytes.words(bytes)
    ) { try base.write(path, bytes) }
  }
  func extend(_ path: String, to size: Int) throws {
    try recorded("make \(path) \(size) bytes long", ["truncate", "-s", "\(size)", at(path)], ["tree", "truncate", path, "-s", "\(size)"]) {
      try base.extend(path, to: size)
    }
  }
  func read(_ path: String) throws -> [UInt8]? {
    try recorded("read \(path)", ["cat", at(path)], ["tree_read", path], answer: { $0.map(ShellBytes.known) ?? "no file" }) { try base.read(path) }
  }
  func makeDirectory(_ path: String) throws {
    try recorded("make the directory \(path)", ["mkdir", at(path)], ["tree", "mkdir", path]) { try base.makeDirectory(path) }
  }
  func remove(_ path: String) throws {
    try recorded("remove \(path)", ["rm", "-r", at(path)], ["tree", "rm", path, "-r"]) { try base.remove(path) }
  }
  func link(_ existing: String, _ new: String) throws {
    try recorded("link \(existing) as \(new)", ["ln", at(existing), at(new)], ["tree_two", "ln", existing, new, "-P"]) { try base.link(existing, new) }
  }
  func symlink(_ target: String, _ new: String) throws {
    try recorded("symbolic link \(new) to \(target)", ["ln", "-s", target, at(new)], ["tree_symlink", target, new]) { try base.symlink(target, new) }
  }
  func rename(_ old: String, _ new: String) throws {
    try recorded("rename \(old) to \(new)", ["mv", at(old), at(new)], ["tree_two", "mv", old, new, "-T"]) { try base.rename(old, new) }
  }
  func setMode(_ path: String, _ mode: UInt32, owner: UInt32, group: UInt32) throws {
    let bits = String(mode, radix: 8)
    try recorded(
      "mode \(bits) and owner \(owner):\(group) of \(path)", ["chown", "\(owner):\(group)", at(path)], ["tree_owner", path, "\(owner):\(group)", bits]
    ) { try base.setMode(path, mode, owner: owner, group: group) }
  }
  func mode(_ path: String) throws -> (mode: UInt32, owner: UInt32, group: UInt32) {
    try recorded(
      "mode of \(path)", ["stat", at(path)], ["tree_mode", path], answer: { "mode \(String($0.mode & 0o7777, radix: 8)) \($0.owner):\($0.group)" }
    ) { try base.mode(path) }
  }
  func names(_ path: String) throws -> [String] {
    try recorded("names in \(path)", ["ls", "-A", at(path)], ["tree_names", path], answer: { "names " + $0.map { $0 + "/" }.joined() }) {
      try base.names(path)
    }
  }
}

/// Bytes in scripts.
enum ShellBytes {
  /// In digits where they are few, as one repeated where they are, else only how many.
  static func words(_ bytes: [UInt8]) -> [String] {
    if bytes.count <= 4096 { return ["hex", GRPCFrame.hex(bytes)] }
    if let first = bytes.first, bytes.allSatisfy({ $0 == first }) { return ["fill", String(first, radix: 8), "\(bytes.count)"] }
    return ["noise", "\(bytes.count)"]
  }
  static func known(_ bytes: [UInt8]) -> String { "bytes \(bytes.count) \(Digest.of(bytes).hex.prefix(16))" }
}
