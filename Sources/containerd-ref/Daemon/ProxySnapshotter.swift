import ContainerdClient
import Protocols

/// A snapshotter that another process serves (`[proxy_plugins.NAME]`).
///
/// Whether anybody listens is asked of the kernel before each call, so that the answer comes at once; a connection that was lost is then waited for.
struct ProxySnapshotter: Snapshotter {
  let name: String
  let address: String
  private let connection: LastingConnection

  init(name: String, address: String) {
    self.name = name
    self.address = address
    connection = LastingConnection(socket: address)
  }

  func stat(_ key: String) async throws -> SnapshotInfo { try await asking { try await $0.stat(key) } }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await asking { try await $0.update(info, fields: fields) } }
  func usage(_ key: String) async throws -> SnapshotUsage { try await asking { try await $0.usage(key) } }
  func mounts(_ key: String) async throws -> [Mount] { try await asking { try await $0.mounts(key) } }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await asking { try await $0.prepare(key, parent: parent, labels: labels) }
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await asking { try await $0.view(key, parent: parent, labels: labels) }
  }
  func commit(_ newName: String, key: String, labels: Labels) async throws { try await asking { try await $0.commit(newName, key: key, labels: labels) } }
  func remove(_ key: String) async throws { try await asking { try await $0.remove(key) } }
  /// The visitor is called when the plugin has told all: it may take its time.
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    let infos = try await asking { snapshotter in
      let found = Found()
      try await snapshotter.walk(filters) { await found.append($0) }
      return await found.infos
    }
    for info in infos { try await visit(info) }
  }
  /// Not every plugin has something to clean up.
  func cleanup() async throws {
    do { try await asking { try await $0.cleanup() } } catch let error as ContainerdError where error.code == .notImplemented {}
  }
  func close() async throws { await connection.end() }

  private actor Found {
    private(set) var infos: [SnapshotInfo] = []
    func append(_ info: SnapshotInfo) { infos.append(info) }
  }

  private func asking<Value: Sendable>(_ body: @escaping @Sendable (any Snapshotter) async throws -> Value) async throws -> Value {
    try requireListener()
    let snapshotter = try connection.client().snapshotter(name)
    do {
      return try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body(snapshotter) }
        group.addTask {
          // Who went away after the question was put does not come to hear it: the call would wait for a connection for ever.
          while true {
            try await Task.sleep(for: .seconds(1))
            try requireListener()
          }
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() ?? nil else { throw CancellationError() }
        return value
      }
    } catch let error as ContainerdError where error.code == .unavailable && !error.message.hasPrefix(title) {
      throw ContainerdError.unavailable("\(title): \(error.message)")
    }
  }

  private var title: String { "snapshotter \(name) at \(address)" }

  private func requireListener() throws {
    if let reason = try SocketProbe.refusal(address) { throw ContainerdError.unavailable("\(title): \(reason.text)") }
  }
}
