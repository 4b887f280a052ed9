/// What is sent as `Authorization`, per registry and scope: asked for once, however many transfers wait for it, and asked for anew when refused.
actor Authorizer {
  struct Key: Hashable {
    var registry: String
    var scope: String
  }

  private var known: [Key: String] = [:]
  private var pending: [Key: Task<String?, any Error>] = [:]

  func authorization(_ key: Key) -> String? { known[key] }

  /// Nothing is sent in its place until the registry asks; another transfer's newer authorization stays.
  func forget(_ key: Key, _ refused: String?) { if known[key] == refused { known[key] = nil } }

  /// `refused` is what the registry has just answered with 401. Another transfer may have replaced it already; then nothing is asked.
  func renew(_ key: Key, refused: String?, _ ask: @escaping @Sendable () async throws -> String?) async throws -> String? {
    if let current = known[key], current != refused { return current }
    if let task = pending[key] { return try await task.value }
    // Not a child of the caller: others wait for it too, and one who is cancelled must not take it from them.
    let task = Task { try await ask() }
    pending[key] = task
    defer { pending[key] = nil }
    let fresh = try await task.value
    known[key] = fresh
    return fresh
  }
}
