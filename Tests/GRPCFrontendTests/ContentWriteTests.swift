import ContainerdAPI
import Foundation
import GRPCCore
import Hashing
import InMemoryFakes
import Protocols
import SwiftProtobuf
import Testing

@Suite("Content/Write")
struct ContentWriteTests {
  typealias Request = Containerd_Services_Content_V1_WriteContentRequest
  typealias Response = Containerd_Services_Content_V1_WriteContentResponse

  private let bytes = Array("hello, world".utf8)
  private var digest: String { Digest.of(bytes).description }

  /// Sends the messages one by one, each after the answer to the one before, and gives the answers.
  private func upload(_ client: InProcessDaemon.Client, _ messages: [Request], in namespace: String = "ns") async throws -> [Response] {
    let (answered, next) = AsyncStream<Void>.makeStream()
    return try await Containerd_Services_Content_V1_Content.Client(wrapping: client).write(metadata: headers(namespace)) { writer in
      var turns = answered.makeAsyncIterator()
      for message in messages {
        try await writer.write(message)
        await turns.next()
      }
    } onResponse: { response in
      defer { next.finish() }
      var answers: [Response] = []
      for try await message in response.messages {
        answers.append(message)
        next.yield()
      }
      return answers
    }
  }

  private func stat(_ ref: String) -> Request { .with { ($0.action, $0.ref) = (.stat, ref) } }
  private func write(_ offset: Int, _ bytes: some Collection<UInt8>) -> Request {
    .with { ($0.action, $0.offset, $0.data) = (.write, Int64(offset), Data(bytes)) }
  }
  private func commit(_ offset: Int, total: Int = 0, expected: String = "", labels: [String: String] = [:]) -> Request {
    .with { ($0.action, $0.offset, $0.total, $0.expected, $0.labels) = (.commit, Int64(offset), Int64(total), expected, labels) }
  }

  @Test func `every answer tells offset, digest so far and times; the last names the blob`() async throws {
    try await InProcessDaemon().use { client in
      let answers = try await upload(client, [stat("a"), write(0, bytes.prefix(5)), write(5, bytes.dropFirst(5)), commit(bytes.count)])
      #expect(answers.map(\.action) == [.stat, .write, .write, .commit])
      #expect(answers.map(\.offset) == [0, 5, 12, 12])
      #expect(answers.map(\.digest) == [Digest.of([]), Digest.of(Array(bytes.prefix(5))), Digest.of(bytes), Digest.of(bytes)].map(\.description))
      #expect(answers.allSatisfy { $0.startedAt.seconds > 0 && $0.updatedAt.seconds > 0 })
    }
  }

  @Test func `what is expected may change until the commit, whose word is the last`() async throws {
    try await InProcessDaemon().use { client in
      var opening = stat("a")
      opening.total = 5
      opening.expected = Digest.of(Array(bytes.prefix(5))).description
      let answers = try await upload(client, [opening, write(0, bytes), commit(bytes.count, total: bytes.count, expected: digest)])
      #expect(answers.last?.digest == digest)
      opening.ref = "b"
      let error = await status { _ = try await upload(client, [opening, write(0, bytes), commit(bytes.count)], in: "other") }
      #expect(error?.code == .failedPrecondition, "the opening's expectation counts where the commit has none")
    }
  }

  @Test func `offset zero starts over, also in a commit; another wrong offset is out of range`() async throws {
    try await InProcessDaemon().use { client in
      let answers = try await upload(client, [stat("a"), write(0, [1, 2, 3]), write(0, bytes), commit(bytes.count)])
      #expect(answers.last?.digest == digest)
      let empty = try await upload(client, [stat("b"), write(0, [1, 2, 3]), commit(0)])
      #expect(empty.last?.digest == Digest.of([]).description)
      let error = await status { _ = try await upload(client, [stat("c"), write(0, [1, 2, 3]), write(2, [4])]) }
      #expect(error?.code == .outOfRange)
    }
  }

  @Test func `an opening that finds the blob leaves the uploads of others alone`() async throws {
    let daemon = InProcessDaemon()
    try await daemon.use { client in
      _ = try await upload(client, [stat("a"), write(0, bytes), commit(bytes.count)])
      _ = try await upload(client, [stat("b"), write(0, [1])])
      var opening = stat("b")
      opening.expected = digest
      let error = await status { _ = try await upload(client, [opening]) }
      #expect(error?.code == .alreadyExists)
      #expect(error?.message.hasSuffix(": already exists") == true)
      let content = try daemon.metadata.content(in: Scope(namespace: "ns"))
      #expect(try await content.status(ref: "b").offset == 1)
    }
  }

  @Test func `learning during the upload that the blob is there ends it and drops the bytes`() async throws {
    let daemon = InProcessDaemon()
    try await daemon.use { client in
      _ = try await upload(client, [stat("a"), write(0, bytes), commit(bytes.count)])
      var late = write(1, [2])
      late.expected = digest
      let error = await status { _ = try await upload(client, [stat("b"), write(0, [1]), late]) }
      #expect(error?.code == .alreadyExists)
      let content = try daemon.metadata.content(in: Scope(namespace: "ns"))
      await #expect(throws: ContainerdError.self) { try await content.status(ref: "b") }
    }
  }

  @Test func `a stream without a ref, and a changed ref, are refused`() async throws {
    try await InProcessDaemon().use { client in
      #expect(await status { _ = try await upload(client, [stat("")]) }?.code == .invalidArgument)
      #expect(await status { _ = try await upload(client, [stat("a"), stat("b")]) }?.code == .invalidArgument)
      let bare = await status {
        _ = try await Containerd_Services_Content_V1_Content.Client(wrapping: client).info(.with { $0.digest = digest })
      }
      #expect(bare?.code == .failedPrecondition)
      #expect(bare?.message == "namespace is required: failed precondition")
    }
  }
}
