import EmbeddedRegistry
import Hashing
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import RegistryFetcher
import Testing

@Suite struct TransferTests {
  static let bytes = TestImage.bytes(700_000)

  @Test func aTransferThatIsCutGoesOnWhereItStopped() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      let (first, second) = (RegistryGate(), RegistryGate())
      scene.registry.faults.add(.cutAtGate(afterBytes: 300_000, first), times: 1)
      scene.registry.faults.add(.cutAtGate(afterBytes: 300_000, second), sparing: 1, times: 1)
      #expect(try await scene.fetch(blob, opening: [300_000: first, 600_000: second]) == Self.bytes)
      #expect(scene.gets(blob.digest).map(\.range) == [nil, "bytes=300000-", "bytes=600000-"])
      #expect(scene.gets(blob.digest).map(\.bytesSent) == [300_000, 300_000, 100_000], "no byte is sent twice")
    }
  }

  @Test(arguments: [Int64(1), 699_999, 700_000]) func aTransferBeginsWhereItIsTold(_ offset: Int64) async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      #expect(try await scene.fetch(blob, from: offset) == Array(Self.bytes[Int(offset)...]))
      #expect(scene.gets(blob.digest).map(\.bytesSent) == (offset == 700_000 ? [] : [700_000 - offset]))
    }
  }

  @Test func aServerThatIgnoresTheRangeIsReadFromItsBeginning() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.ignoreRange)
      #expect(try await scene.fetch(blob, from: 650_000) == Array(Self.bytes[650_000...]))
      #expect(scene.gets(blob.digest).map(\.status) == [200])
    }
  }

  @Test func aPartThatNobodyAskedForIsRefused() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.shiftRange(7))
      #expect(try await failure { try await scene.fetch(blob, from: 1000) }.code == .outOfRange)
      scene.registry.faults.clear()
      scene.registry.faults.add(.header("Content-Range", nil))
      #expect(try await failure { try await scene.fetch(blob, from: 1000) }.code == .outOfRange)
    }
  }

  @Test(arguments: [429, 500, 502, 503]) func whatMayPassIsTriedAgain(_ status: Int) async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add([1, 2, 3], TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.status(status), times: 2)
      #expect(try await scene.fetch(blob) == [1, 2, 3])
      #expect(scene.gets(blob.digest).map(\.status) == [status, status, 200])
    }
  }

  @Test func whatDoesNotPassEndsAfterTheAttempts() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add([1, 2, 3], TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.status(503))
      let error = try await failure { try await scene.fetch(blob) }
      #expect(error.code == .unavailable)
      #expect(error.message.contains("503"))
      #expect(scene.gets(blob.digest).count == 5)
    }
  }

  @Test func retryAfterIsHeeded() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add([1, 2, 3], TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.status(429, headers: ["Retry-After": "1"]), times: 1)
      let began = ContinuousClock.now
      #expect(try await scene.fetch(blob) == [1, 2, 3])
      #expect(ContinuousClock.now - began >= .seconds(1))
      scene.registry.faults.add(.status(429, headers: ["Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"]), times: 1)
      #expect(try await scene.fetch(blob) == [1, 2, 3], "a date is left to our own pauses")
    }
  }

  @Test func aServerThatFallsSilentIsLeft() async throws {
    var configuration = RegistryResolver.Configuration.quick
    // Not less: a machine that is busy with something else is no silent server.
    configuration.idleTimeout = .seconds(5)
    try await Scene.with(resolver: configuration) { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.stall(afterBytes: 200_000), times: 1)
      #expect(try await scene.fetch(blob) == Self.bytes)
      #expect(scene.gets(blob.digest).count >= 2)
    }
  }

  @Test func aServerThatIsSlowIsNotTakenForSilent() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.idleTimeout = .seconds(5)
    try await Scene.with(resolver: configuration) { scene in
      let blob = try await TestImage.add(TestImage.bytes(100_000), TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.throttle(bytesPerSecond: 16_000))
      #expect(try await scene.fetch(blob) == TestImage.bytes(100_000))
      #expect(scene.gets(blob.digest).count == 1)
    }
  }

  @Test func aRegistryThatAlwaysCutsIsGivenUpAndTheErrorSaysWhere() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      let gate = RegistryGate()
      scene.registry.faults.add(.cut(afterBytes: 0), times: 100)
      scene.registry.faults.add(.cutAtGate(afterBytes: 100_000, gate), times: 1)
      let error = try await failure { try await scene.fetch(blob, opening: [100_000: gate]) }
      #expect(error.code == .unavailable)
      #expect(error.message.contains("byte 100000 of 700000"))
    }
  }

  @Test(arguments: [Int64(-100), 100]) func aLengthOtherThanTheDescriptorsIsRefusedAtOnce(_ off: Int64) async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.contentLength(off: off))
      #expect(try await failure { try await scene.fetch(blob) }.code == .failedPrecondition)
    }
  }

  @Test func aWrongByteCommitsNothingAndForgetsTheDownload() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([Self.bytes], to: scene.registry)
      let layer = image.layers[0].digest
      scene.registry.faults.add(.corrupt(byte: 350_000), to: .path(layer.description), times: 1)
      let error = try await failure { try await scene.pull(image.reference) }
      #expect(error.code == .failedPrecondition)
      #expect(error.message.contains(layer.description))
      #expect(scene.content.bytes(layer) == nil)
      #expect(try await failure { try await scene.content.status(ref: "layer-\(layer)") }.code == .notFound)
      // And the next pull is not haunted by it.
      try await scene.pull(image.reference)
      #expect(scene.content.bytes(layer) == Self.bytes)
    }
  }

  @Test func aDownloadThatBeganWithWrongBytesIsDoneAnew() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([Self.bytes], to: scene.registry)
      let layer = image.layers[0]
      let writer = try await scene.content.writer(ref: "layer-\(layer.digest)", expected: IngestExpectation(size: layer.size, digest: layer.digest))
      try await writer.write([UInt8](repeating: 0, count: 1000), at: 0)
      await writer.close()
      try await scene.pull(image.reference)
      #expect(scene.content.bytes(layer.digest) == Self.bytes)
      #expect(scene.gets(layer.digest).map(\.range) == ["bytes=1000-", nil])
    }
  }

  @Test func aDownloadThatHasTooManyBytesIsDoneAnew() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry)
      let layer = image.layers[0]
      let writer = try await scene.content.writer(ref: "layer-\(layer.digest)", expected: IngestExpectation(size: layer.size, digest: layer.digest))
      try await writer.write([1, 2, 3, 4], at: 0)
      await writer.close()
      try await scene.pull(image.reference)
      #expect(scene.content.bytes(layer.digest) == [1, 2, 3])
    }
  }

  @Test func connectionsAreUsedAgain() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push((0..<8).map { TestImage.bytes(300_000, seed: UInt64($0 + 1)) }, to: scene.registry)
      _ = try await scene.puller(parallelism: 2).pull(image.reference)
      #expect(scene.registry.log.records.count >= 10)
      #expect(Set(scene.registry.log.records.map(\.connection)).count <= 3)
    }
  }
}
