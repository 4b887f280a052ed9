import ConformanceSuites
import Protocols

/// A change of metadata, and what must be there for it.
struct MetadataChange: Sendable {
  typealias Body = @Sendable (MetadataSubject) async throws -> Void
  var words: String
  var ground: Body
  var change: Body
  /// Whether half of it may be done: then the rest is done by a collection.
  var collects = false
  /// Words of lines that may be gone, if it has not happened: bytes on their way, that are uploaded again.
  var mayLose: String?

  init(_ words: String, ground: @escaping Body = { _ in }, collects: Bool = false, mayLose: String? = nil, change: @escaping Body) {
    self.words = words
    self.ground = ground
    self.change = change
    self.collects = collects
    self.mayLose = mayLose
  }
}

/// Everything that a metadata store has, as lines: without times, which the interrupted call would give too.
enum MetadataState {
  static func read(_ subject: MetadataSubject, times: Bool = false) async throws -> Set<String> {
    var lines: Set<String> = []
    func at(_ created: Timestamp, _ updated: Timestamp? = nil) -> String { times ? " at \(created)\(updated.map { ", \($0)" } ?? "")" : "" }
    for space in try await subject.store.namespaces.list() where !space.name.hasPrefix("conformance-") {
      let name = space.name
      lines.insert("namespace \(name) \(described(space.labels))")
      for image in try await subject.images(in: name).list(.all) {
        lines.insert("\(name): image \(image.name) \(image.target.digest.hex.prefix(8)) \(described(image.labels))\(at(image.createdAt, image.updatedAt))")
      }
      for container in try await subject.containers(in: name).list(.all) {
        lines.insert(
          "\(name): container \(container.id) \(container.snapshotKey) \(described(container.labels))\(at(container.createdAt, container.updatedAt))")
      }
      for lease in try await subject.leases(in: name).list(.all) {
        lines.insert("\(name): lease \(lease.id) \(described(lease.labels))\(at(lease.createdAt))")
        do {
          for resource in try await subject.leases(in: name).resources(of: lease.id) {
            lines.insert("\(name): lease \(lease.id) holds \(resource.type) \(resource.id)")
          }
        } catch let error as ContainerdError where error.code == .notFound {
          // It ended meanwhile: whoever reads again does not find it.
        }
      }
      let blobs = Visited<ContentInfo>()
      try await subject.content(in: name).walk(.all) { blobs.append($0) }
      for blob in blobs.items {
        lines.insert("\(name): blob \(blob.digest.hex.prefix(8)) of \(blob.size) \(described(blob.labels))\(at(blob.createdAt, blob.updatedAt))")
      }
      for ingest in try await subject.content(in: name).statuses(.all) { lines.insert("\(name): ingest \(ingest.ref) at \(ingest.offset)") }
      let snapshots = Visited<SnapshotInfo>()
      try await subject.snapshots(in: name).walk(.all) { snapshots.append($0) }
      for snapshot in snapshots.items {
        lines.insert("\(name): snapshot \(SnapshotFacts(snapshot))\(at(snapshot.createdAt, snapshot.updatedAt))")
      }
    }
    return lines
  }

  /// Behind a wire each read is a call of its own, and may come too late as well as the first.
  private static func whole(_ blob: ContentInfo, of content: any ContentStore) async throws -> [UInt8] {
    let reader = try await content.reader(blob.digest)
    do {
      let bytes = try await reader.read(at: 0, count: Int(blob.size) + 1)
      await reader.close()
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }

  /// What is listed is there: blobs can be read whole, and snapshots mounted.
  static func expectSound(_ subject: MetadataSubject, _ what: String) async throws {
    for space in try await subject.store.namespaces.list() where !space.name.hasPrefix("conformance-") {
      let content = try subject.content(in: space.name)
      let blobs = Visited<ContentInfo>()
      try await content.walk(.all) { blobs.append($0) }
      for blob in blobs.items {
        let bytes: [UInt8]
        do { bytes = try await whole(blob, of: content) } catch let error as ContainerdError where error.code == .notFound {
          // Collected since it was listed: then it is not listed any more.
          try await expectError(.notFound, from: "info of a blob that cannot be read") { _ = try await content.info(blob.digest) }
          continue
        }
        try expectEqual(subject.digest(bytes), blob.digest, "\(what): digest of the bytes of a blob that is listed")
      }
      let snapshotter = try subject.snapshots(in: space.name)
      let snapshots = Visited<SnapshotInfo>()
      try await snapshotter.walk(.all) { snapshots.append($0) }
      for snapshot in snapshots.items {
        do {
          if snapshot.kind == .committed {
            _ = try await snapshotter.usage(snapshot.name)
          } else {
            _ = try await snapshotter.mounts(snapshot.name)
          }
        } catch let error as ContainerdError where error.code == .notFound {
          try await expectError(.notFound, from: "\(what): stat of a snapshot that cannot be asked for") { _ = try await snapshotter.stat(snapshot.name) }
        }
      }
    }
  }
}

extension FreshSubjects where Subject == RestartMetadataSubject {
  /// Kills the store at every place that each change passes, or at moments by chance, starts it again, and compares: everything is as before the
  /// change, or as after it.
  func killed(over changes: [MetadataChange]) async throws {
    try await telling { attempt in
      for change in changes {
        let (before, after, places) = try await outcome(change, attempt)
        if before == after { throw SuiteError("\(change.words) changes nothing") }
        let first = try await make()
        if first.process.hasFaultPlaces {
          if places.isEmpty { throw SuiteError("the store has fault places, and \(change.words) passes none") }
          for place in places {
            attempt.begins("\(change.words), killed at \(place)")
            try await killed(try await make(), change, before, after, at: place, attempt)
          }
        } else {
          var chance = Chance(seed)
          for round in 0..<max(2, Int(3 * budget)) {
            attempt.begins("\(change.words), killed at a moment, round \(round)")
            try await killed(try await make(), change, before, after, after: .microseconds(Int(chance.below(12_000))), attempt)
          }
        }
      }
    }
  }

  private func ready(_ subject: RestartMetadataSubject, _ change: MetadataChange) async throws {
    try await subject.process.startAfter("the first start")
    try await change.ground(try await subject.open())
  }

  /// What is there before the change and after it, and which places it passes.
  private func outcome(_ change: MetadataChange, _ attempt: Attempt) async throws -> (Set<String>, Set<String>, [FaultPlace]) {
    attempt.begins(change.words)
    let subject = try await make()
    try await ready(subject, change)
    try await subject.process.kill()
    try await subject.process.startAfter("the ground of \(change.words)", BackendStart(traces: true))
    let store = try await subject.open()
    let before = try await MetadataState.read(store)
    let passed = try await subject.process.passed().count
    try await change.change(store)
    let places = FaultPlace.all(try await subject.process.passed())
    let after = try await MetadataState.read(store)
    try await subject.process.kill()
    return (before, after, Array(places.dropFirst(passed)))
  }

  private func killed(
    _ subject: RestartMetadataSubject, _ change: MetadataChange, _ before: Set<String>, _ after: Set<String>, at place: FaultPlace? = nil,
    after delay: Duration? = nil,
    _ attempt: Attempt
  ) async throws {
    try await ready(subject, change)
    try await subject.process.kill()
    var answered = false
    var alive = true
    do { try await subject.process.start(BackendStart(crash: place)) } catch let refused as StartRefused {
      guard place != nil, refused.end == .killed(by: 9) else { throw refused }
      alive = false
    }
    if alive {
      let store = try await subject.open()
      _ = try await MetadataState.read(store)
      let process = subject.process
      let killer = delay.map { delay in
        Task {
          try await Task.sleep(for: delay)
          try await process.kill()
        }
      }
      do {
        try await change.change(store)
        answered = true
      } catch { if try await process.ended(within: 5) == nil { throw error } }
      try await killer?.value
    }
    try await subject.process.kill()
    attempt.does("start it again")
    try await subject.process.startAfter("a kill at \(place.map { "\($0)" } ?? "some moment") during \(change.words)")
    let store = try await subject.open()
    let found = try await settled(store, subject, change, before, after, answered, place)
    try await MetadataState.expectSound(store, "after a kill during \(change.words)")
    if found != after {
      // What was not done can be done now.
      try await change.change(store)
      if change.collects { _ = try await store.store.collectGarbage() }
      let now = try await MetadataState.read(store)
      try same(now, after, "\(change.words), made again after a kill")
      try await MetadataState.expectSound(store, "\(change.words), made again after a kill")
    }
    try await subject.process.kill()
  }

  private func settled(
    _ store: MetadataSubject, _ subject: RestartMetadataSubject, _ change: MetadataChange, _ before: Set<String>, _ after: Set<String>, _ answered: Bool,
    _ place: FaultPlace?
  ) async throws -> Set<String> {
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while true {
      let found = try await MetadataState.read(store)
      if found == after || (!answered && found == before) { return found }
      if change.collects, !answered, found.isSuperset(of: after), found.isSubset(of: before) { return found }
      if !answered, let words = change.mayLose, found == before.filter({ !$0.contains(words) }) { return found }
      if ContinuousClock.now > deadline {
        let what = "what is there after a kill at \(place.map { "\($0)" } ?? "some moment") \(answered ? "behind" : "during") \(change.words)"
        try same(found, answered || found.symmetricDifference(after).count < found.symmetricDifference(before).count ? after : before, what)
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  private func same(_ found: Set<String>, _ wanted: Set<String>, _ what: String) throws {
    if found == wanted { return }
    let missing = wanted.subtracting(found).sorted()
    let extra = found.subtracting(wanted).sorted()
    throw Finding(
      kind: "metadata", what: what, expected: missing.isEmpty ? "nothing beyond what was made" : missing.joined(separator: "; "),
      actual: extra.isEmpty ? "these are missing" : "instead \(extra.joined(separator: "; "))")
  }
}
