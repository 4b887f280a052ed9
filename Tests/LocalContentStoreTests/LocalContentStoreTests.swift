import Foundation
import Hashing
import LocalContentStore
import Protocols
import SystemKit
import TestSupport
import Testing

@Suite struct LocalContentStoreTests {
  let scratch = ScratchDirectory("content")
  func store() throws -> LocalContentStore { try LocalContentStore(root: scratch.path) }

  func put(_ store: LocalContentStore, _ bytes: [UInt8], ref: String = "ref") async throws -> Digest {
    let writer = try await store.writer(ref: ref, expected: IngestExpectation())
    try await writer.write(bytes, at: 0)
    return try await writer.commit(IngestExpectation(), labels: [:])
  }

  func code(_ body: () async throws -> Void) async -> ContainerdError.Code? {
    do { try await body() } catch { return (error as? ContainerdError)?.code }
    return nil
  }

  @Test func whatIsCommittedIsRead() async throws {
    let store = try store()
    let digest = try await put(store, Array("hello".utf8))
    #expect(digest == Digest.of(Array("hello".utf8)))
    let reader = try await store.reader(digest)
    #expect(reader.size == 5)
    #expect(try await reader.read(at: 1, count: 3) == Array("ell".utf8))
    #expect(try await reader.read(at: 5, count: 1).isEmpty)
    #expect(await code { _ = try await reader.read(at: -1, count: 1) } == .outOfRange)
    #expect(try await store.info(digest).size == 5)
    #expect(try await store.statuses(.all).isEmpty)
    #expect(FileManager.default.fileExists(atPath: "\(scratch.path)/blobs/sha256/\(digest.hex)"))
  }

  @Test func nothingIsListedBeforeTheCommit() async throws {
    let store = try store()
    let writer = try await store.writer(ref: "r", expected: IngestExpectation(size: 3))
    try await writer.write([1, 2, 3], at: nil)
    #expect(await code { _ = try await store.info(Digest.of([1, 2, 3])) } == .notFound)
    let status = try await store.status(ref: "r")
    #expect(status.offset == 3 && status.total == 3)
    await writer.close()
  }

  @Test func aMismatchCommitsNothing() async throws {
    let store = try store()
    for expected in [IngestExpectation(size: 4), IngestExpectation(digest: Digest.of([9]))] {
      let writer = try await store.writer(ref: "r", expected: IngestExpectation())
      try await writer.truncate(to: 0)
      try await writer.write([1, 2, 3], at: 0)
      #expect(await code { _ = try await writer.commit(expected, labels: [:]) } == .failedPrecondition)
    }
    #expect(await code { _ = try await store.info(Digest.of([1, 2, 3])) } == .notFound)
  }

  @Test func aRefHasOneWriter() async throws {
    let store = try store()
    let first = try await store.writer(ref: "r", expected: IngestExpectation())
    #expect(await code { _ = try await store.writer(ref: "r", expected: IngestExpectation()) } == .unavailable)
    try await first.write([1], at: nil)
    await first.close()
    let second = try await store.writer(ref: "r", expected: IngestExpectation())
    #expect(try await second.status().offset == 1)
    #expect(await code { try await second.write([2], at: 5) } == .outOfRange)
    await second.close()
  }

  @Test func anAbortedIngestStaysGone() async throws {
    let store = try store()
    let writer = try await store.writer(ref: "r", expected: IngestExpectation())
    try await writer.write([1], at: nil)
    try await store.abort(ref: "r")
    #expect(await code { try await writer.write([2], at: nil) } == .notFound)
    await writer.close()
    #expect(await code { _ = try await store.status(ref: "r") } == .notFound)
    #expect(await code { try await store.abort(ref: "r") } == .notFound)
  }

  @Test func bytesThatAreThereAlreadyAreNotTakenTwice() async throws {
    let store = try store()
    let digest = try await put(store, [1, 2, 3])
    #expect(await code { _ = try await store.writer(ref: "again", expected: IngestExpectation(digest: digest)) } == .alreadyExists)
    #expect(await code { _ = try await put(store, [1, 2, 3], ref: "other") } == .alreadyExists)
    #expect(try await store.statuses(.all).isEmpty)
  }

  @Test func labelsFollowTheMask() async throws {
    let store = try store()
    let digest = try await put(store, [1])
    _ = try await store.update(ContentInfo(digest: digest, labels: ["a": "1", "b": "line\nbreak=\\"]), fields: ["labels"])
    let info = try await store.update(ContentInfo(digest: digest, labels: ["a": ""]), fields: ["labels.a"])
    #expect(info.labels == ["b": "line\nbreak=\\"])
    #expect(await code { _ = try await store.update(info, fields: ["size"]) } == .invalidArgument)
  }

  @Test func aReaderOutlivesTheName() async throws {
    let store = try store()
    let digest = try await put(store, [7, 8, 9])
    let reader = try await store.reader(digest)
    try await store.delete(digest)
    #expect(try await reader.read(at: 0, count: 3) == [7, 8, 9])
    #expect(await code { try await store.delete(digest) } == .notFound)
  }

  @Test func killedInTheMiddleOfAWriteItResumesWhereTheDiskIs() async throws {
    let root = "/tmp/ref-content-kill-\(getpid())"
    setenv("REF_KILL_ROOT", root, 1)
    defer { try? FileManager.default.removeItem(atPath: root) }
    await #expect(processExitsWith: .signal(SIGKILL)) {
      let store = try LocalContentStore(root: String(cString: getenv("REF_KILL_ROOT")))
      let writer = try await store.writer(ref: "r", expected: IngestExpectation(size: 3 << 20))
      for _ in 0..<2 { try await writer.write([UInt8](repeating: 7, count: 1 << 20), at: nil) }
      kill(getpid(), SIGKILL)
    }
    let store = try LocalContentStore(root: root)
    #expect(try await store.status(ref: "r").offset == 2 << 20)
    let whole = [UInt8](repeating: 7, count: 3 << 20)
    let writer = try await store.writer(ref: "r", expected: IngestExpectation(size: 3 << 20, digest: Digest.of(whole)))
    #expect(try await writer.status().offset == 2 << 20)
    try await writer.write([UInt8](repeating: 7, count: 1 << 20), at: 2 << 20)
    #expect(try await writer.commit(IngestExpectation(size: 3 << 20), labels: [:]) == Digest.of(whole))
  }
}
