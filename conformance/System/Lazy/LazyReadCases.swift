import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// Snapshotters whose layers are mounted before they are here: what is read of them, and what that costs.
public enum LazySuite {
  public static let cases = reading + sources + answers + ends + trees

  static func lazy(
    _ id: String, _ sentence: String, _ statement: String, needs: Set<Capability> = [], why: String, threads: [String] = [],
    _ body: @escaping @Sendable (LazySubject) async throws -> Void
  ) -> ContractCase<LazySubject> {
    ContractCase(id, sentence, statement, needs: needs.union([.lazy]), why: why, threads: threads) { subject in
      try await body(subject)
      subject.registry.trouble(nil)
    }
  }

  static let mebibyte = 1 << 20

  static let reading: [ContractCase<LazySubject>] = [
    lazy(
      "lazy.read.contents", "files of layers that nobody has unpacked have the image's bytes, at every place", "LAZ-01; REM-02, SNAP-10; SR-14",
      why: "A program that loads other bytes than those it was built of crashes, or worse, does not.", threads: ["awslabs/soci-snapshotter#664"]
    ) { subject in
      try await subject.inside("reading files of lazy layers") { tree in
        for path in ["dir/kept", "hidden/new", "replaced", "odd/empty", "small/0", "small/119", "names-2"] { try tree.expectWhole(path) }
        let size = LazyImage.standard.files[LazyImage.large]?.count ?? 0
        for (offset, count) in [
          (0, 1), (4095, 2), (mebibyte - 1, 2), (5 * mebibyte + 123, 300_000), (size - 3, 100), (size, 10), (size + 5000, 10), (7 * mebibyte, mebibyte),
        ] { try tree.expectPart(LazyImage.large, at: offset, count: count) }
      }
    },
    lazy(
      "lazy.read.small", "what is read of a layer decides what is fetched: a little of it for a little", "LAZ-05",
      why: "A program that starts reads a few percent of its image: fetching the rest first is what lazy pulling is to avoid."
    ) { subject in
      try await subject.take()
      let mounts = try await subject.container()
      let most = subject.registry.size / 4
      let registry = subject.registry
      let early = registry.traffic().bytes
      try expect(early <= most, "before anything was read, \(early) bytes of \(registry.size) were fetched, at most \(most) expected")
      try await subject.inside(mounts, "reading a byte") { tree in
        let before = registry.traffic().bytes
        try tree.expectPart(LazyImage.large, at: 6 * mebibyte, count: 1)
        let fetched = registry.traffic().bytes - before
        try expect(fetched <= most, "for one byte \(fetched) bytes of \(registry.size) were fetched, at most \(most) expected")
      }
    },
    lazy(
      "lazy.read.all", "reading everything fetches each byte of the layers about once", "LAZ-05",
      why: "What is fetched twice costs twice: registries limit and charge traffic, and a slow network makes it the time that the container takes.",
      threads: ["containerd/stargz-snapshotter#2172"]
    ) { subject in
      let registry = subject.registry
      try await subject.inside("reading every file", seconds: 60) { tree in
        for path in LazyImage.standard.files.keys.sorted() { try tree.expectWhole(path) }
        for path in LazyImage.standard.files.keys.sorted() { try tree.expectWhole(path, "the second time") }
        let (fetched, size) = (registry.traffic().bytes, registry.size)
        try expect(
          fetched * 10 <= size * 11, "reading everything twice fetched \(fetched) bytes, at most a tenth more than the \(size) of the layers expected")
      }
    },
    lazy(
      "lazy.read.threads", "many threads that read everything at once all come to an end, and each byte is fetched about once for all of them",
      "LAZ-05; REF-S07; SR-15",
      why: "Programs start many threads, and nodes many containers of one image: locks in the wrong order hang them all; without any, each fetches for itself.",
      threads: ["containerd/stargz-snapshotter#2172"]
    ) { subject in
      let registry = subject.registry
      try await subject.inside("eight threads that read every file", seconds: 30) { tree in
        let failures = Visited<any Error>()
        let paths = LazyImage.standard.files.keys.sorted()
        OwnThreads.run(8) { number in
          do {
            // Each begins elsewhere, every other one goes backwards.
            let start = number * paths.count / 8
            let order = Array(paths[start...] + paths[..<start])
            for path in number.isMultiple(of: 2) ? order : order.reversed() { try tree.expectWhole(path, "by thread \(number)") }
          } catch { failures.append(error) }
        }
        if let first = failures.items.first { throw first }
        let (fetched, size) = (registry.traffic().bytes, registry.size)
        try expect(
          fetched * 10 <= size * 13,
          "eight threads fetched \(fetched) bytes together, at most three tenths more than the \(size) of the layers expected")
      }
    },
    lazy(
      "lazy.read.here", "what has been fetched is read on without the source", "LAZ-06; SR-08",
      why: "A registry that is down for a night would end containers that have been running for weeks.", threads: ["containerd/stargz-snapshotter#318"]
    ) { subject in
      let registry = subject.registry
      try await subject.take()
      let mounts = try await subject.container()
      try await subject.inside(mounts, "reading with the source") { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: mebibyte)
        try tree.expectWhole("small/5")
      }
      registry.trouble(.away)
      // Performed anew: nothing is in anybody's page cache but the lower mount's.
      try await subject.inside(mounts, "reading without the source") { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: mebibyte, "while the source is away")
        try tree.expectWhole("small/5", "while the source is away")
      }
    },
  ]
}
