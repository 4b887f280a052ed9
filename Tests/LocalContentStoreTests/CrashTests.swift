import CLinux
import Foundation
import Hashing
import LocalContentStore
import Protocols
import SystemKit
import TestSupport
import Testing

/// A process killed at each step of each change: what the next one finds is the state before or after it, and nothing is left over.
@Suite(.serialized) struct CrashTests {
  let scratch = ScratchDirectory("content-crash")
  static let bytes = [UInt8](repeating: 7, count: 100_000)

  enum Change: String { case open, commit, abort, delete }

  /// In the process that dies.
  static func run(_ change: Change, in root: String) async throws {
    let store = try LocalContentStore(root: root)
    switch change {
    case .open: await (try await store.writer(ref: "new", expected: IngestExpectation(size: 3))).close()
    case .commit:
      let writer = try await store.writer(ref: "half", expected: IngestExpectation())
      let offset = try await writer.status().offset
      try await writer.write(Array(bytes[Int(offset)...]), at: offset)
      _ = try await writer.commit(IngestExpectation(digest: Digest.of(bytes)), labels: ["kept": "yes"])
    case .abort: try await store.abort(ref: "half")
    case .delete: try await store.delete(Digest.of([1]))
    }
  }

  /// `halfListed`: the ingest that was there before; `committed`: the blob that it becomes.
  @Test(arguments: [
    (Change.open, "ingest.made", true, false), (.open, "ingest.described", true, false), (.commit, "commit.flushed", true, false),
    (.commit, "commit.labelled", true, false), (.commit, "commit.renamed", false, true), (.commit, "commit.doomed", false, true),
    (.abort, "abort.doomed", false, false), (.delete, "delete.unlinked", true, false),
  ])
  func killedAtAnyStepItIsBeforeOrAfter(_ change: Change, _ place: String, _ halfListed: Bool, _ committed: Bool) async throws {
    do {
      let store = try LocalContentStore(root: scratch.path)
      let small = try await store.writer(ref: "small", expected: IngestExpectation())
      try await small.write([1], at: 0)
      _ = try await small.commit(IngestExpectation(), labels: ["of": "the small one"])
      let half = try await store.writer(ref: "half", expected: IngestExpectation())
      try await half.write(Array(Self.bytes[..<40_000]), at: 0)
      await half.close()
    }
    await #expect(processExitsWith: .signal(SIGKILL)) { [root = scratch.path as String, change = change.rawValue as String, place = place as String] in
      setenv("REF_CRASH_AT", place, 1)
      guard let change = Change(rawValue: change) else { return }
      try await CrashTests.run(change, in: root)
    }
    let store = try LocalContentStore(root: scratch.path)
    let refs = try await store.statuses(.all).map(\.ref)
    #expect(refs == (halfListed ? ["half"] : []))
    #expect(try Files.names(in: scratch.path + "/ingest").count == refs.count, "nothing is left over")
    let digest = Digest.of(Self.bytes)
    #expect(try blobs() == Set((committed ? [digest.hex] : []) + (change == .delete ? [] : [Digest.of([1]).hex])))
    #expect(try Set(Files.names(in: scratch.path + "/labels/sha256")) == blobs(), "labels are of blobs only")
    if committed {
      let info = try await store.info(digest)
      #expect(info.size == Int64(Self.bytes.count) && info.labels == ["kept": "yes"])
    } else if halfListed {
      // It goes on where the disk is, and becomes the blob.
      try await CrashTests.run(.commit, in: scratch.path)
      #expect(try await store.info(digest).size == Int64(Self.bytes.count))
    }
  }

  private func blobs() throws -> Set<String> { Set(try Files.names(in: scratch.path + "/blobs/sha256")) }
}
