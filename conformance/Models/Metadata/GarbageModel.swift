import Protocols

/// What a garbage collector must keep, as plain sets: everything that a root reaches.
package struct GarbageModel: Sendable {
  package enum Object: Hashable, Sendable, CustomStringConvertible {
    case blob(Int)
    case snapshot(Int)
    package var description: String {
      switch self {
      case .blob(let number): "blob \(number)"
      case .snapshot(let number): "snapshot \(number)"
      }
    }
  }
  package struct Blob: Sendable {
    package var references: Set<Object>
    package var root: Bool
  }
  package struct Snapshot: Sendable {
    package var parent: Int?
    package var references: Set<Object>
    package var root: Bool
  }
  package struct Lease: Sendable {
    package var flat: Bool
    package var holds: Set<Object> = []
  }

  package var blobs: [Int: Blob] = [:]
  package var snapshots: [Int: Snapshot] = [:]
  /// Names of images and the blobs that they stand for.
  package var images: [Int: Int] = [:]
  package var containers: [Int: Int] = [:]
  package var leases: [Int: Lease] = [:]
  package init() {}

  package func hasChildren(_ snapshot: Int) -> Bool { snapshots.values.contains { $0.parent == snapshot } }

  /// Everything that a root reaches.
  package var reachable: Set<Object> {
    var alive: Set<Object> = []
    var pending: [Object] = images.values.map { .blob($0) } + containers.values.map { .snapshot($0) }
    pending += blobs.filter(\.value.root).map { .blob($0.key) } + snapshots.filter(\.value.root).map { .snapshot($0.key) }
    for lease in leases.values where !lease.flat { pending += lease.holds }
    while let object = pending.popLast() {
      if alive.insert(object).inserted { pending += edges(object) }
    }
    // A flat lease holds an object and what it stands on, not what it refers to.
    for object in leases.values.filter(\.flat).flatMap(\.holds) {
      var next: Object? = object
      while let here = next {
        alive.insert(here)
        next = parent(here)
      }
    }
    return alive.filter(exists)
  }

  package func exists(_ object: Object) -> Bool {
    switch object {
    case .blob(let number): blobs[number] != nil
    case .snapshot(let number): snapshots[number] != nil
    }
  }
  private func parent(_ object: Object) -> Object? {
    if case .snapshot(let number) = object { snapshots[number]?.parent.map { .snapshot($0) } } else { nil }
  }
  private func edges(_ object: Object) -> [Object] {
    switch object {
    case .blob(let number): Array(blobs[number]?.references ?? [])
    case .snapshot(let number): Array(snapshots[number]?.references ?? []) + [parent(object)].compactMap { $0 }
    }
  }

  /// Removes what no root reaches.
  package mutating func collect() {
    let alive = reachable
    blobs = blobs.filter { alive.contains(.blob($0.key)) }
    snapshots = snapshots.filter { alive.contains(.snapshot($0.key)) }
    for id in leases.keys { leases[id]?.holds.formIntersection(alive) }
  }

  package mutating func forget(_ object: Object) {
    for id in leases.keys { leases[id]?.holds.remove(object) }
    switch object {
    case .blob(let number): blobs[number] = nil
    case .snapshot(let number): snapshots[number] = nil
    }
  }
}
