import BlockingIO
import CLinux
import ConformanceSuites
import Glibc
import Protocols
import SystemKit

extension BoundarySuite {
  static let leaving: [ContractCase<PipelineSubject>] = [
    ContractCase(
      "boundaries.leaves.no-descriptors", "after a pull and an unpacking no file of another layer stays open", "\(law) 1, 8; LB-12; LAW-01, LAW-08",
      needs: [.inProcess, .files],
      why: "a file that stays open keeps a file system busy, and a daemon that pulls all day runs out of descriptors"
    ) { subject in
      try await subject.scene(PipelineChoice(content: .real, snapshots: .real, applier: .real)) { scene in
        try await scene.unpack()
        // What is opened once and kept, is open by now.
        try await Self.again(scene)
        let before = try descriptors(below: subject.directory)
        for _ in 0..<3 { try await Self.again(scene) }
        let left = try await settled { try descriptors(below: subject.directory).filter { !before.contains($0) } }
        try expect(left.isEmpty, "open after three more unpackings, and not before: \(left.joined(separator: ", "))")
      }
    },
    ContractCase(
      "boundaries.leaves.no-mounts", "after a pull and an unpacking no mount and no mount namespace is left", "\(law) 5, 8; LB-12; LAW-05, LAW-08",
      needs: [.inProcess, .files],
      why: "a mount that is left pins a snapshot: it can neither be removed nor freed", threads: ["containerd/containerd#5538"]
    ) { subject in
      try await subject.scene(PipelineChoice(content: .real, snapshots: .real, applier: .real)) { scene in
        let before = Set(try mountTable())
        try await scene.unpack()
        let after = try mountTable().filter { !before.contains($0) }
        try expect(after.isEmpty, "mounts after an unpacking that were not there before: \(after.joined(separator: "; "))")
        let left = try await settled { try otherNamespaces() }
        try expect(left.isEmpty, "threads that are still in a mount namespace of their own: \(left.joined(separator: ", "))")
      }
    },
    ContractCase(
      "boundaries.leaves.no-mounts-after-failure", "an unpacking that fails leaves no mount and no file open either",
      "\(law) 5, 8; LB-10, LB-12; LAW-05, LAW-08",
      needs: [.inProcess, .files], why: "each broken image pins a snapshot that can never be freed"
    ) { subject in
      try await subject.scene(PipelineChoice(content: .real, snapshots: .real, applier: .real), image: PipelineImage(salt: 1, lying: 1)) { scene in
        let before = Set(try mountTable())
        _ = try await scene.failure { try await scene.unpack() }
        let open = try descriptors(below: subject.directory)
        for _ in 0..<3 {
          let failure = try await scene.failure { try await scene.unpack() }
          try expect(failure != nil, "an image whose config names a wrong DiffID was unpacked")
        }
        let after = try mountTable().filter { !before.contains($0) }
        try expect(after.isEmpty, "mounts after a failed unpacking that were not there before: \(after.joined(separator: "; "))")
        let left = try await settled { try otherNamespaces() + descriptors(below: subject.directory).filter { !open.contains($0) } }
        try expect(left.isEmpty, "left after a failed unpacking: \(left.joined(separator: ", "))")
        try await scene.expectNothingHeld("after a failed unpacking")
      }
    },
  ]

  /// Unpacks once more: the snapshots are removed before.
  private static func again(_ scene: BoundaryScene) async throws {
    for layer in scene.image.layers.reversed() { try await scene.raw.snapshotter.remove(layer.chain) }
    try await scene.unpack()
  }

  /// What is open in this process below the directory, or has no name any more.
  private static func descriptors(below directory: String) throws -> [String] {
    try Files.names(in: "/proc/self/fd").compactMap { name in
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/fd/\(name)", &buffer, buffer.count)
      if count <= 0 { return nil }
      let target = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      return target.hasPrefix(directory) || target.hasSuffix("(deleted)") || target.hasPrefix("mnt:") ? "\(name) → \(target)" : nil
    }
  }

  /// Threads of this process that see other mounts than the process.
  private static func otherNamespaces() throws -> [String] {
    func namespace(_ path: String) -> String? {
      var buffer = [CChar](repeating: 0, count: 256)
      let count = readlink(path, &buffer, buffer.count)
      return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
    let own = namespace("/proc/self/ns/mnt")
    return try Files.names(in: "/proc/self/task").compactMap { thread in
      // One that ends meanwhile has none.
      namespace("/proc/self/task/\(thread)/ns/mnt").flatMap { $0 == own ? nil : "thread \(thread) in \($0)" }
    }
  }

  /// What is left once everything that is about to end has ended.
  private static func settled(_ look: () throws -> [String]) async throws -> [String] {
    for _ in 0..<200 {
      let left = try look()
      if left.isEmpty { return [] }
      try await Task.sleep(for: .milliseconds(10))
    }
    return try look()
  }
}
