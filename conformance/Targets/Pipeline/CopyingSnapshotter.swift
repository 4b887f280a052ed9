import BlockingIO
import ConformanceSuites
import InMemoryFakes
import Protocols
import SystemKit
import TestSupport

/// The suite's own snapshotter, as simple as it can be: each snapshot is a directory, copied from its parent's, and a bind mount of it.
struct CopyingSnapshotter: Snapshotter {
  private let names = InMemorySnapshotter()
  private let root: String

  init(root: String) throws {
    self.root = root
    try Files.makeDirectories(root)
  }

  private func place(_ number: Int) -> String { "\(root)/\(number)" }

  private func make(_ key: String, _ body: () async throws -> Void) async throws {
    try await body()
    guard let lineage = names.lineage(key), let number = lineage.first else { return }
    let (new, parent) = (place(number), lineage.dropFirst().first.map(place))
    try await DedicatedThread.run {
      guard let parent else { return try Files.makeDirectories(new) }
      let (status, output) = try run(["cp", "-a", parent, new])
      if status != 0 { throw SuiteError("cp -a \(parent) \(new): \(output)") }
    }
  }

  private func mounts(of key: String, readOnly: Bool) throws -> [Mount] {
    guard let number = names.lineage(key)?.first else { throw ContainerdError.notFound("snapshot \(key)") }
    return [Mount(type: "bind", source: place(number), options: ["rbind", readOnly ? "ro" : "rw"])]
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await make(key) { _ = try await names.prepare(key, parent: parent, labels: labels) }
    return try mounts(of: key, readOnly: false)
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await make(key) { _ = try await names.view(key, parent: parent, labels: labels) }
    return try mounts(of: key, readOnly: true)
  }
  func mounts(_ key: String) async throws -> [Mount] { try mounts(of: key, readOnly: try await names.mounts(key).contains(where: \.isReadOnly)) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await names.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws {
    let number = names.lineage(key)?.first
    try await names.remove(key)
    if let number {
      let gone = place(number)
      try await DedicatedThread.run { try Files.removeTree(gone) }
    }
  }
  func stat(_ key: String) async throws -> SnapshotInfo { try await names.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await names.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await names.usage(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await names.walk(filters, visit) }
  func cleanup() async throws { try await names.cleanup() }
  func close() async throws { try await names.close() }
}
