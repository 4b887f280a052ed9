import ConformanceSuites
import ConformanceWireSuites
import Protocols

/// One image, one registry, one set of parts, and a tape of what the pipeline says to them.
struct BoundaryScene: Sendable {
  let subject: PipelineSubject
  let image: PipelineImage
  let registry: FaultyRegistry
  let tape = Tape()
  /// The parts themselves: what the suite looks into.
  let raw: PipelineParts
  /// What the pipeline is given.
  var parts: PipelineParts
  let reference: String

  init(
    _ subject: PipelineSubject, _ choice: PipelineChoice, image: PipelineImage, registry: FaultyRegistry,
    change: (inout PipelineParts) throws -> Void = { _ in }
  ) async throws {
    self.subject = subject
    self.image = image
    self.registry = registry
    image.add(to: registry)
    let order = PipelineOrder(choice: choice, image: image, registry: registry.host)
    reference = order.reference
    var raw = try await subject.parts(order)
    try change(&raw)
    self.raw = raw
    parts = PipelineParts(
      registry: RecordedRegistry(base: raw.registry, tape: tape), content: RecordedContentStore(base: raw.content, tape: tape),
      snapshotter: RecordedSnapshotter(base: raw.snapshotter, tape: tape), applier: RecordedApplier(base: raw.applier, tape: tape),
      runtime: RecordedRuntime(base: raw.runtime, tape: tape), snapshotRoot: raw.snapshotRoot, keep: raw.keep)
  }

  private var seconds: Int { Int(60 * subject.patience) }

  func fetch() async throws {
    let (subject, reference, parts) = (subject, reference, parts)
    try await inTime("the pull of \(reference)", seconds: seconds) { try await subject.fetch(reference, parts) }
  }
  func unpack() async throws {
    let (subject, reference, parts) = (subject, reference, parts)
    try await inTime("pulling and unpacking \(reference)", seconds: seconds) { try await subject.unpack(reference, parts) }
  }

  /// How the act failed; nil if it did not. Anything but a `ContainerdError` is a broken promise by itself.
  func failure(of act: () async throws -> Void) async throws -> ContainerdError? {
    do {
      try await act()
      return nil
    } catch let error as ContainerdError {
      return error
    } catch let other as Mismatch {
      throw other
    } catch let other as CaseSkipped {
      throw other
    } catch let other as SuiteError {
      throw other
    } catch { throw Mismatch(description: "a failure must have one of containerd's classes, this is \(type(of: error)): \(error)") }
  }

  // MARK: looking

  /// What the stores hold: times left out.
  struct Holdings: Hashable, Sendable, CustomStringConvertible {
    var blobs: [String: Labels] = [:]
    var ingests: [String] = []
    /// Name to kind and parent.
    var snapshots: [String: String] = [:]

    var active: [String] { snapshots.filter { !$0.value.hasPrefix(SnapshotInfo.Kind.committed.rawValue) }.keys.sorted() }
    var description: String { "blobs \(blobs.keys.sorted()), ingests \(ingests), snapshots \(snapshots.sorted { $0.key < $1.key })" }

    func difference(from other: Holdings) -> String {
      var words: [String] = []
      for (digest, labels) in blobs where other.blobs[digest] != labels {
        words.append("\(digest) has the labels \(labels.words), not \(other.blobs[digest]?.words.description ?? "there")")
      }
      for digest in other.blobs.keys where blobs[digest] == nil { words.append("\(digest) is missing") }
      for (name, what) in snapshots where other.snapshots[name] != what { words.append("snapshot \(name) is \(what), not \(other.snapshots[name] ?? "there")") }
      for name in other.snapshots.keys where snapshots[name] == nil { words.append("snapshot \(name) is missing") }
      if ingests != other.ingests { words.append("ingests \(ingests), not \(other.ingests)") }
      return words.joined(separator: "; ")
    }
  }

  func holdings() async throws -> Holdings {
    let (blobs, snapshots) = (Visited<ContentInfo>(), Visited<SnapshotInfo>())
    try await raw.content.walk(.all) { blobs.append($0) }
    try await raw.snapshotter.walk(.all) { snapshots.append($0) }
    return Holdings(
      blobs: Dictionary(blobs.items.map { ("\($0.digest)", $0.labels) }) { $1 }, ingests: try await raw.content.statuses(.all).map(\.ref).sorted(),
      snapshots: Dictionary(snapshots.items.map { ($0.name, "\($0.kind.rawValue) on \($0.parent ?? "nothing")") }) { $1 })
  }

  /// Everything is there, and nothing else.
  ///
  /// - Parameter optional: blobs that a pipeline may do without.
  func expectWhole(_ what: String, optional: [Descriptor] = []) async throws {
    let holdings = try await holdings()
    for descriptor in image.descriptors where !optional.contains(descriptor) {
      try expect(holdings.blobs["\(descriptor.digest)"] != nil, "\(what): the store has no \(descriptor.digest) (\(descriptor.mediaType))")
    }
    let wanted = Dictionary(
      uniqueKeysWithValues: zip(image.layers, [nil] + image.layers.map { Optional($0.chain) }).map { ($0.chain, "Committed on \($1 ?? "nothing")") })
    for (name, kind) in wanted {
      try expect(
        holdings.snapshots[name] == kind, "\(what): the snapshot \(name) is \(holdings.snapshots[name] ?? "not there"), expected \(kind)")
    }
    try expectEqual(holdings.active, [], "\(what): snapshots that are still active")
  }

  /// Nothing is held that somebody would have to take back.
  func expectNothingHeld(_ what: String) async throws {
    // What a program had open is let go of when its connection is gone.
    for _ in 0..<300 where !subject.isHere && !tape.open.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
    try expectEqual(tape.open, [], "\(what): what was opened and not let go of")
    try expectEqual(try await holdings().active, [], "\(what): active snapshots left behind")
  }
}

extension PipelineSubject {
  /// A scene with a registry of its own, for the time of the body.
  func scene(
    _ choice: PipelineChoice = .fakes, image: PipelineImage = PipelineImage(salt: 1), change: @Sendable (inout PipelineParts) throws -> Void = { _ in },
    _ body: @Sendable (BoundaryScene) async throws -> Void
  ) async throws {
    try await FaultyRegistry.with { registry in
      try await body(try await BoundaryScene(self, choice, image: image, registry: registry, change: change))
    }
  }
}
