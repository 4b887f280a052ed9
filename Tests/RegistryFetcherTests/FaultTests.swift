import EmbeddedRegistry
import Hashing
import NIOHTTP1
import OCI
import Protocols
import RegistryFetcher
import TestSupport
import Testing

/// The registry's misbehaviour itself, and what the client makes of it.
@Suite struct FaultTests {
  static let bytes = TestImage.bytes(300_000)

  static func with(
    _ authentication: RegistryAuthentication = .none, resolver: RegistryResolver.Configuration = .quick,
    _ body: @Sendable (Scene, Descriptor) async throws -> Void
  ) async throws {
    try await Scene.with(authentication, resolver: resolver) { scene in
      try await body(scene, try await TestImage.add(bytes, TestImage.layerType, to: scene.registry))
    }
  }

  @Test func allAnswersTogetherKeepToALimitThatMayChange() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.limit(bytesPerSecond: 400_000)
      let began = ContinuousClock.now
      try await withThrowingTaskGroup(of: [UInt8].self) { group in
        for _ in 0..<4 { group.addTask { try await scene.read(blob, 0..<150_000) } }
        for try await bytes in group { #expect(bytes == Array(Self.bytes[..<150_000])) }
      }
      #expect(ContinuousClock.now - began >= .milliseconds(1450), "600000 bytes at 400000 a second")
      scene.registry.faults.limit(bytesPerSecond: 1)
      let read = Task { try await scene.read(blob, 0..<150_000) }
      while scene.gets(blob.digest).count < 5 { try await Task.sleep(for: .milliseconds(5)) }
      try await Task.sleep(for: .milliseconds(100))
      #expect(scene.gets(blob.digest).last?.isComplete == false)
      scene.registry.faults.limit(bytesPerSecond: nil)
      #expect(try await read.value == Array(Self.bytes[..<150_000]), "who was slowed goes on")
    }
  }

  @Test func aByteOfABlobIsWrongInWhateverPartItIsSent() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.corruptBlob(at: 1000))
      var wrong = Self.bytes
      wrong[1000] ^= 0xff
      for range in [0..<300_000, 1000..<1001, 990..<1010] as [Range<Int64>] {
        #expect(try await scene.read(blob, range) == Array(wrong[Int(range.lowerBound)..<Int(range.upperBound)]))
      }
      for range in [0..<1000, 1001..<2000] as [Range<Int64>] {
        #expect(try await scene.read(blob, range) == Array(Self.bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
      }
    }
  }

  @Test func anAnswerThatIsTooShortSaysSoAndIsNotTaken() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.truncate(to: 10), to: .blobs)
      let answer = try await EmbeddedRegistryTests.ask(scene.registry, .GET, "/v2/app/blobs/\(blob.digest)", [("Range", "bytes=100-199")])
      #expect(answer.headers.first(name: "Content-Length") == "10")
      #expect(answer.headers.first(name: "Content-Range") == "bytes 100-199/300000")
      #expect(answer.body == Array(Self.bytes[100..<110]))
      #expect(try await failure { try await scene.read(blob, 100..<200) }.code == .outOfRange)
      #expect(try await scene.read(blob, 100..<110) == Array(Self.bytes[100..<110]), "what is not shortened is right")
      #expect(try await failure { try await scene.fetch(blob) }.code == .failedPrecondition)
    }
  }

  @Test func whoIsAwaySendsEverybodyAwayAndComesBack() async throws {
    try await Self.with { scene, blob throws in
      #expect(try await scene.read(blob, 0..<5) == Array(Self.bytes[..<5]), "the connection that is kept is no exception")
      scene.registry.faults.goAway()
      #expect(try await failure { try await scene.read(blob, 0..<5) }.code == .unavailable)
      #expect(scene.registry.log.records.count == 1)
      scene.registry.faults.comeBack()
      #expect(try await scene.read(blob, 0..<5) == Array(Self.bytes[..<5]))
    }
  }

  @Test func anAbsenceIsSurvivedByRetries() async throws {
    var patient = RegistryResolver.Configuration.quick
    patient.firstPause = .milliseconds(100)
    patient.attempts = 8
    try await Self.with(resolver: patient) { scene, blob throws in
      scene.registry.faults.goAway(for: .milliseconds(300))
      #expect(try await scene.read(blob, 0..<5) == Array(Self.bytes[..<5]))
      // And in the middle of a transfer.
      scene.registry.faults.limit(bytesPerSecond: 300_000)
      let read = Task { try await scene.read(blob, 0..<300_000) }
      while scene.gets(blob.digest).last?.bytesSent ?? 0 < 60_000 { try await Task.sleep(for: .milliseconds(5)) }
      scene.registry.faults.goAway(for: .milliseconds(300))
      #expect(try await read.value == Self.bytes)
      #expect(scene.gets(blob.digest).count >= 3)
    }
  }

  @Test func aTokenIsGoodForSoManyRequests() async throws {
    try await Self.with(.bearer(.init(uses: 2))) { scene, blob throws in
      for place in 0..<5 as Range<Int64> { #expect(try await scene.read(blob, place..<place + 1) == [Self.bytes[Int(place)]]) }
      #expect(scene.registry.log.records(endingIn: "/token").count == 3)
      scene.registry.limitTokens()
      scene.registry.revokeTokens()
      for place in 0..<5 as Range<Int64> { #expect(try await scene.read(blob, place..<place + 1) == [Self.bytes[Int(place)]]) }
      #expect(scene.registry.log.records(endingIn: "/token").count == 4)
    }
  }

  @Test func aTokenThatIsGoodForNothingIsGivenUp() async throws {
    try await Self.with(.bearer(.init())) { scene, blob throws in
      scene.registry.limitTokens(lifetime: .zero)
      #expect(try await failure { try await scene.read(blob, 0..<5) }.code == .unauthenticated)
      #expect(scene.registry.log.records(endingIn: "/token").count == 1)
    }
  }

  @Test func everythingIsWellAgainAfterClear() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.goAway()
      scene.registry.faults.limit(bytesPerSecond: 1)
      scene.registry.faults.add(.status(503))
      scene.registry.faults.clear()
      #expect(try await scene.fetch(blob) == Self.bytes)
      #expect(scene.registry.log.records.count == 1)
    }
  }
}
