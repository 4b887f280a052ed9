import ConformanceSuites
import Protocols

/// A metadata store and the model of its garbage, side by side, in one namespace.
package struct GarbageMachine {
  package let subject: MetadataSubject
  package var model = GarbageModel()
  private let names = 0..<6
  package init(_ subject: MetadataSubject) { self.subject = subject }

  private func text(_ blob: Int) -> String { "blob \(blob)" }
  private func digest(_ blob: Int) -> Digest { subject.digest(Array(text(blob).utf8)) }
  private func key(_ snapshot: Int) -> String { "s\(snapshot)" }
  private func resource(_ object: GarbageModel.Object) -> LeaseResource {
    switch object {
    case .blob(let number): LeaseResource(type: "content", id: "\(digest(number))")
    case .snapshot(let number): LeaseResource(type: "snapshots/\(subject.snapshotter)", id: key(number))
    }
  }

  private enum Verb { case blob, layer, image, unimage, lease, unlease, hold, unhold, container, uncontainer, relabel, delete, upload, collect }

  /// Draws one thing to do, does it with both, and compares what is left.
  package mutating func step(_ attempt: Attempt) async throws {
    let verb: Verb = attempt.weighted([
      (18, .blob), (10, .layer), (8, .image), (6, .unimage), (14, .lease), (5, .unlease), (18, .hold), (4, .unhold), (4, .container), (3, .uncontainer),
      (6, .relabel), (3, .delete), (4, .upload), (14, .collect),
    ])
    let number = attempt.draw(names.count)
    switch verb {
    case .blob, .upload:
      let (references, root, labels) = drawLabels(attempt)
      let lease = drawLease(attempt)
      guard model.blobs[number] == nil else { return }
      if verb == .upload, let lease {
        try await upload(attempt, number, labels, lease)
      } else {
        tell(attempt, "blob \(number)\(words(references, root)) under \(lease.map { "lease \($0)" } ?? "no lease")")
        try await subject.blob(text(number), labels: labels, lease: lease.map { "l\($0)" })
      }
      model.blobs[number] = GarbageModel.Blob(references: references, root: root)
      if let lease { model.leases[lease]?.holds.insert(.blob(number)) }
    case .layer:
      let (references, root, labels) = drawLabels(attempt)
      let lease = drawLease(attempt)
      let parent = attempt.chance(70) ? nearest(attempt.draw(names.count), model.snapshots.keys.sorted()) : nil
      guard model.snapshots[number] == nil else { return }
      tell(
        attempt,
        "snapshot \(number) on \(parent.map { "snapshot \($0)" } ?? "nothing")\(words(references, root)) under \(lease.map { "lease \($0)" } ?? "no lease")")
      try await subject.layer(key(number), on: parent.map(key), labels: labels, lease: lease.map { "l\($0)" })
      model.snapshots[number] = GarbageModel.Snapshot(parent: parent, references: references, root: root)
      if let lease { model.leases[lease]?.holds.insert(.snapshot(number)) }
    case .image:
      guard let blob = nearest(attempt.draw(names.count), model.blobs.keys.sorted()), model.images[number] == nil else { return }
      tell(attempt, "image \(number) of blob \(blob)")
      try await subject.image("i\(number)", digest(blob))
      model.images[number] = blob
    case .unimage:
      guard let image = nearest(number, model.images.keys.sorted()) else { return }
      tell(attempt, "delete image \(image)")
      try await subject.images().delete("i\(image)")
      model.images[image] = nil
    case .lease:
      let flat = attempt.chance(30)
      let lease = number % 3
      guard model.leases[lease] == nil else { return }
      tell(attempt, "\(flat ? "flat " : "")lease \(lease)")
      try await subject.lease("l\(lease)", labels: flat ? ["containerd.io/gc.flat": "1"] : [:])
      model.leases[lease] = GarbageModel.Lease(flat: flat)
    case .unlease:
      guard let lease = nearest(number, model.leases.keys.sorted()) else { return }
      tell(attempt, "delete lease \(lease)")
      try await subject.leases().delete("l\(lease)")
      model.leases[lease] = nil
    case .hold, .unhold:
      guard let lease = nearest(attempt.draw(3), model.leases.keys.sorted()) else { return }
      let snapshot = attempt.chance(40)
      if verb == .hold {
        guard let there = nearest(number, snapshot ? model.snapshots.keys.sorted() : model.blobs.keys.sorted()) else { return }
        let object: GarbageModel.Object = snapshot ? .snapshot(there) : .blob(there)
        tell(attempt, "add \(object) to lease \(lease)")
        try await subject.leases().addResource(resource(object), to: "l\(lease)")
        model.leases[lease]?.holds.insert(object)
      } else {
        let object: GarbageModel.Object = snapshot ? .snapshot(number) : .blob(number)
        guard model.leases[lease]?.holds.contains(object) == true else { return }
        tell(attempt, "take \(object) from lease \(lease)")
        try await subject.leases().deleteResource(resource(object), from: "l\(lease)")
        model.leases[lease]?.holds.remove(object)
      }
    case .container:
      guard let snapshot = nearest(attempt.draw(names.count), model.snapshots.keys.sorted()), model.containers[number] == nil else { return }
      tell(attempt, "container \(number) on snapshot \(snapshot)")
      _ = try await subject.containers().create(subject.container("c\(number)", snapshotKey: key(snapshot)))
      model.containers[number] = snapshot
    case .uncontainer:
      guard let container = nearest(number, model.containers.keys.sorted()) else { return }
      tell(attempt, "delete container \(container)")
      try await subject.containers().delete("c\(container)")
      model.containers[container] = nil
    case .relabel:
      let (references, root, labels) = drawLabels(attempt)
      guard let blob = nearest(number, model.blobs.keys.sorted()) else { return }
      tell(attempt, "relabel blob \(blob):\(references.isEmpty && !root ? " nothing" : words(references, root))")
      _ = try await subject.content().update(ContentInfo(digest: digest(blob), labels: labels), fields: ["labels"])
      model.blobs[blob] = GarbageModel.Blob(references: references, root: root)
    case .delete:
      guard let blob = nearest(number, model.blobs.keys.sorted()) else { return }
      tell(attempt, "delete blob \(blob)")
      try await subject.content().delete(digest(blob))
      model.forget(.blob(blob))
    case .collect:
      tell(attempt, "collect garbage")
      try await subject.store.collectGarbage()
      model.collect()
    }
    try await compare(attempt, verb == .collect ? "collection" : "\(verb)")
  }

  /// An upload with a collection in its middle.
  private mutating func upload(_ attempt: Attempt, _ number: Int, _ labels: Labels, _ lease: Int) async throws {
    tell(attempt, "upload blob \(number) under lease \(lease), with a collection before the commit")
    let writer = try await subject.content(lease: "l\(lease)").writer(ref: "slow \(number)", expected: IngestExpectation())
    do {
      try await writer.write(Array(text(number).utf8), at: nil)
      try await subject.store.collectGarbage()
      model.collect()
      _ = try await writer.commit(IngestExpectation(), labels: labels)
    } catch {
      await writer.close()
      throw error
    }
    await writer.close()
  }

  private func compare(_ attempt: Attempt, _ after: String) async throws {
    let blobs = try await subject.digests()
    let there = Set(names.filter { blobs.contains(digest($0)) })
    let keys = Set(try await subject.keys())
    let snapshots = Set(names.filter { keys.contains(key($0)) })
    attempt.came("left: \(Self.list(there, snapshots))")
    let (expectedBlobs, expectedSnapshots) = (Set(model.blobs.keys), Set(model.snapshots.keys))
    if there != expectedBlobs || snapshots != expectedSnapshots {
      let lost = !expectedBlobs.subtracting(there).isEmpty || !expectedSnapshots.subtracting(snapshots).isEmpty
      throw Finding(
        kind: "\(after) \(lost ? "lost" : "kept")", what: "what is left after the \(after)",
        expected: Self.list(expectedBlobs, expectedSnapshots), actual: Self.list(there, snapshots))
    }
  }

  private static func list(_ blobs: Set<Int>, _ snapshots: Set<Int>) -> String {
    "blobs \(blobs.sorted()), snapshots \(snapshots.sorted())"
  }

  private func tell(_ attempt: Attempt, _ text: String) { attempt.does(text) }

  private func nearest(_ drawn: Int, _ there: [Int]) -> Int? { there.first { $0 >= drawn } ?? there.first }
  private func drawLease(_ attempt: Attempt) -> Int? { attempt.chance(40) ? nearest(attempt.draw(3), model.leases.keys.sorted()) : nil }

  private func words(_ references: Set<GarbageModel.Object>, _ root: Bool) -> String {
    (references.isEmpty ? "" : " referring to \(references.map(\.description).sorted().joined(separator: ", "))") + (root ? " labelled as a root" : "")
  }

  /// References to things that may or may not be there, in the forms that labels have.
  private func drawLabels(_ attempt: Attempt) -> (Set<GarbageModel.Object>, Bool, Labels) {
    var references: Set<GarbageModel.Object> = []
    var labels: Labels = [:]
    for place in 0..<2 where attempt.chance(40) {
      let number = attempt.draw(names.count)
      if attempt.chance(25) {
        references.insert(.snapshot(number))
        labels["containerd.io/gc.ref.snapshot.\(subject.snapshotter)/\(place)"] = key(number)
      } else {
        references.insert(.blob(number))
        labels["containerd.io/gc.ref.content.\(place)"] = "\(digest(number))"
      }
    }
    let root = attempt.chance(10)
    if root { labels["containerd.io/gc.root"] = "2026-01-01T00:00:00Z" }
    return (references, root, labels)
  }
}
