import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// Content stores that are ended and started again, and what must be as before.
public enum ContentRestartSuite {
  public static let cases: [ContractCase<RestartContentSubject>] = [
    ContractCase(
      "restart.content.walk", "after a restart every blob and every ingest is told as before: digest, size, labels and times; ref, offset and total",
      "ContentStore.walk, ContentStore.statuses; CON-01, CON-05", why: "whoever upgrades the daemon must find every image again, and every pull where it was",
      threads: ["containerd/containerd#2642"]
    ) { subject in
      let stage = ContentStage(subject: subject)
      var store = try await stage.start("the first start")
      for number in 0..<40 {
        try await stage.put(pattern(number, count: 100 * number), "blob \(number)", ["n": "\(number)", "containerd.io/gc.ref.content": "sha256:x"], store)
      }
      for number in 0..<5 {
        let writer = try await store.writer(ref: "ingest \(number)", expected: IngestExpectation(size: Int64(1000 + number)))
        try await writer.write(pattern(number, count: 100 + number), at: 0)
        await writer.close()
      }
      _ = try await store.update(ContentInfo(digest: subject.digest(pattern(7, count: 700)), labels: ["n": "other"]), fields: ["labels.n"])
      let before = try await stage.everything(store)
      try expectEqual(before.blobs.count, 40, "blobs before the restart")
      try expectEqual(before.ingests.count, 5, "ingests before the restart")
      for what in ["after it was told to end", "after it was killed"] {
        if what.hasSuffix("killed") { try await stage.process.kill() } else { try await stage.ends() }
        store = try await stage.start(what)
        try await stage.expectEverything(before, store, what)
        for number in [0, 1, 7, 39] {
          let bytes = pattern(number, count: 100 * number)
          try await stage.expectBytes(bytes, subject.digest(bytes), store, what)
        }
      }
    },
    ContractCase(
      "crash.content.resume", "an upload that was killed goes on at its offset, with no byte lost or changed", "ContentWriter.write; CON-05, CON-07",
      why: "a pull of gigabytes that starts over whenever the daemon is restarted never ends on a bad network",
      threads: ["containerd/containerd#2642", "containerd/containerd#3394"]
    ) { subject in
      let stage = ContentStage(subject: subject)
      var store = try await stage.start("the first start")
      let bytes = pattern(1, count: 3_000_000)
      let digest = subject.digest(bytes)
      var answered: Int64 = 0
      for (round, end) in [700_000, 1_500_000, 2_900_000].enumerated() {
        let writer = try await store.writer(ref: "big", expected: IngestExpectation(size: Int64(bytes.count), digest: digest))
        try expectEqual(try await writer.status().offset, answered, "offset of the writer that goes on, in round \(round)")
        while answered < end {
          let piece = Array(bytes[Int(answered)..<min(Int(answered) + 100_000, end)])
          try await writer.write(piece, at: answered)
          answered += Int64(piece.count)
        }
        try await stage.process.kill()
        await writer.close()
        store = try await stage.start("after it was killed in round \(round)")
        let status = try await store.status(ref: "big")
        try expectEqual(status.offset, answered, "offset of the ingest after \(answered) bytes were answered and the store was killed")
        try expectEqual(status.total, Int64(bytes.count), "total of the ingest after a kill")
      }
      let writer = try await store.writer(ref: "big", expected: IngestExpectation(size: Int64(bytes.count), digest: digest))
      try await writer.write(Array(bytes[Int(answered)...]), at: answered)
      try expectEqual(try await writer.commit(IngestExpectation(size: Int64(bytes.count), digest: digest), labels: ["l": "1"]), digest, "digest of the commit")
      await writer.close()
      try await stage.process.kill()
      store = try await stage.start("after it was killed behind the commit")
      try await stage.expectBytes(bytes, digest, store, "after a kill behind the commit")
      try expectEqual(try await store.info(digest).labels, ["l": "1"], "labels after a kill behind the commit")
      try expectEqual(try await store.statuses(.all).map(\.ref), [], "ingests after the commit")
    },
    ContractCase(
      "crash.content.free-ref", "no ref is locked after a kill: whoever held it is gone", "ContentStore.writer; CON-09",
      why: "a lock that outlives its holder makes every later pull of the blob wait, and fail", threads: ["containerd/containerd#3394"]
    ) { subject in
      let stage = ContentStage(subject: subject)
      var store = try await stage.start("the first start")
      var writers: [any ContentWriter] = []
      for number in 0..<5 {
        let writer = try await store.writer(ref: "ref \(number)", expected: IngestExpectation())
        try await writer.write(bytes("first \(number)"), at: 0)
        writers.append(writer)
      }
      try await stage.process.kill()
      for writer in writers { await writer.close() }
      store = try await stage.start("after it was killed with open writers")
      for number in 0..<5 {
        let writer = try await store.writer(ref: "ref \(number)", expected: IngestExpectation())
        try expectEqual(try await writer.status().offset, Int64("first \(number)".utf8.count), "offset of ref \(number)")
        try await writer.write(bytes(", second"), at: nil)
        let whole = bytes("first \(number), second")
        try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(whole), "digest of ref \(number)")
        await writer.close()
      }
    },
    ContractCase(
      "crash.content.disk-full", "on a full disk a write fails and is not counted; with space again the upload goes on", "ContentWriter.write; CON-05, CON-07",
      why: "bytes that are counted and are not there end in a blob that is not what it is called",
      threads: ["containerd/containerd#14164", "containerd/containerd#14070"]
    ) { subject in
      let root = subject.process.root
      try await onDisk { try Damage.smallDisk(at: root, bytes: 16 << 20, files: 2000) }
      do {
        try await fullDisk(subject)
        try await subject.process.kill()
      } catch {
        try await subject.process.kill()
        try await onDisk { try Damage.writableAgain(root) }
        throw error
      }
      try await onDisk { try Damage.writableAgain(root) }
    },
    ContractCase(
      "restart.content.shutdown", "a store that is told to end ends in time, with writers open, and their bytes are there afterwards", "ContentStore; CON-05",
      why: "a shutdown that waits for a slow pull is killed after a minute and a half by the init system"
    ) { subject in
      let stage = ContentStage(subject: subject)
      var store = try await stage.start("the first start")
      let writer = try await store.writer(ref: "open", expected: IngestExpectation())
      try await writer.write(bytes("half of it"), at: 0)
      try await stage.ends()
      await writer.close()
      store = try await stage.start("after it was told to end")
      try expectEqual(try await store.status(ref: "open").offset, 10, "offset of the ingest that was open")
      try await store.abort(ref: "open")
      try expectEqual(try await store.statuses(.all).map(\.ref), [], "ingests after the abort")
    },
  ]

  private static func fullDisk(_ subject: RestartContentSubject) async throws {
    let stage = ContentStage(subject: subject)
    var store = try await stage.start("the first start")
    try await stage.put(bytes("standing"), "standing", ["l": "1"], store)
    let all = pattern(3, count: 2_000_000)
    var offset: Int64 = 0
    let writer = try await store.writer(ref: "big", expected: IngestExpectation(size: Int64(all.count)))
    for piece in stride(from: 0, to: 500_000, by: 100_000) { try await writer.write(Array(all[piece..<piece + 100_000]), at: Int64(piece)) }
    offset = 500_000
    let root = subject.process.root
    try await onDisk { try Damage.fill(root) }
    var refused = false
    while !refused, offset < Int64(all.count) {
      let end = min(Int(offset) + 100_000, all.count)
      do {
        try await writer.write(Array(all[Int(offset)..<end]), at: offset)
        offset = Int64(end)
      } catch is ContainerdError { refused = true }
    }
    try expect(refused, "\(all.count) bytes were written to a disk without space")
    await writer.close()
    try await onDisk { try Damage.empty(root) }
    for what in ["with space again", "with space again, after a restart"] {
      let status = try await store.status(ref: "big")
      // Of the write that failed a part may be there, as long as it is told.
      try expect(status.offset >= offset && status.offset < offset + 100_000, "\(what): the offset is \(status.offset) after \(offset) bytes were answered")
      try await stage.expectBytes(bytes("standing"), subject.digest(bytes("standing")), store, what)
      try await stage.process.kill()
      store = try await stage.start(what)
    }
    let second = try await store.writer(ref: "big", expected: IngestExpectation(size: Int64(all.count)))
    let start = try await second.status().offset
    try await second.write(Array(all[Int(start)...]), at: start)
    try expectEqual(
      try await second.commit(IngestExpectation(size: Int64(all.count), digest: subject.digest(all)), labels: [:]), subject.digest(all),
      "digest of what was begun before the disk was full")
    await second.close()
    try await stage.expectBytes(all, subject.digest(all), store, "with space again")
  }
}

/// A content store that runs, and what cases about restarts do with it.
struct ContentStage {
  let subject: RestartContentSubject
  var process: any BackendProcess { subject.process }

  func start(_ what: String) async throws -> any ContentStore {
    try await process.startAfter(what)
    return try await subject.open()
  }

  func ends() async throws {
    guard try await process.terminate(within: 30) != nil else {
      throw Mismatch(
        description: "told to end (SIGTERM), the store still runs after 30 s: \(await process.said())", expected: "it ends within 30 s", actual: "it runs on")
    }
  }

  func put(_ bytes: [UInt8], _ ref: String, _ labels: Labels, _ store: any ContentStore) async throws {
    let writer = try await store.writer(ref: ref, expected: IngestExpectation())
    if !bytes.isEmpty { try await writer.write(bytes, at: 0) }
    _ = try await writer.commit(IngestExpectation(size: nil, digest: subject.digest(bytes)), labels: labels)
    await writer.close()
  }

  struct Everything: Hashable {
    var blobs: [ContentInfo]
    var ingests: [IngestStatus]
  }

  func everything(_ store: any ContentStore) async throws -> Everything {
    let seen = Visited<ContentInfo>()
    try await store.walk(.all) { seen.append($0) }
    return Everything(
      blobs: seen.items.sorted { $0.digest.hex < $1.digest.hex },
      ingests: try await store.statuses(.all).map { status in
        // What a writer expects is told by some while it is open only.
        var status = status
        status.expected = nil
        return status
      }.sorted { $0.ref < $1.ref })
  }

  func expectEverything(_ wanted: Everything, _ store: any ContentStore, _ what: String) async throws {
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while true {
      let found = try await everything(store)
      if found == wanted { return }
      if ContinuousClock.now > deadline {
        try expectEqual(found.blobs, wanted.blobs, "\(what): all blobs")
        try expectEqual(found.ingests, wanted.ingests, "\(what): all ingests")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  func expectBytes(_ wanted: [UInt8], _ digest: Digest, _ store: any ContentStore, _ what: String) async throws {
    let reader = try await store.reader(digest)
    var found: [UInt8] = []
    do {
      while found.count < wanted.count + 1 {
        let piece = try await reader.read(at: Int64(found.count), count: 1 << 20)
        if piece.isEmpty { break }
        found += piece
      }
    } catch {
      await reader.close()
      throw error
    }
    await reader.close()
    try expect(found == wanted, "\(what): the blob \(digest) has \(found.count) bytes, which are not the \(wanted.count) that were committed")
  }
}
