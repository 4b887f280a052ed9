import EmbeddedRegistry
import Hashing
import OCI
import Protocols
import RegistryFetcher
import Testing

@Suite struct RangedReadTests {
  static let bytes = TestImage.bytes(700_000)
  static let bearer = RegistryAuthentication.bearer(.init(users: ["me": "secret"]))

  static func with(
    _ authentication: RegistryAuthentication = .none, resolver: RegistryResolver.Configuration = .quick,
    _ body: @Sendable (Scene, Descriptor) async throws -> Void
  ) async throws {
    try await Scene.with(authentication, resolver: resolver) { scene in
      try await body(scene, try await TestImage.add(bytes, TestImage.layerType, to: scene.registry))
    }
  }

  @Test(arguments: [0..<1, 0..<700_000, 5..<17, 699_999..<700_000, 100_000..<400_000] as [Range<Int64>])
  func aPartIsReadAndNothingElse(_ range: Range<Int64>) async throws {
    try await Self.with { scene, blob throws in
      #expect(try await scene.read(blob, range) == Array(Self.bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
      #expect(scene.gets(blob.digest).map(\.range) == ["bytes=\(range.lowerBound)-\(range.upperBound - 1)"])
      #expect(scene.gets(blob.digest).map(\.status) == [206])
      #expect(scene.gets(blob.digest).map(\.bytesSent) == [Int64(range.count)])
    }
  }

  @Test func nothingNeedsNoRequest() async throws {
    try await Self.with { scene, blob throws in
      #expect(try await scene.read(blob, 700_000..<700_000) == [])
      #expect(scene.registry.log.records.isEmpty)
    }
  }

  @Test(arguments: [-1..<5, 699_999..<700_001, 700_001..<700_001] as [Range<Int64>]) func whatIsNotInTheBlobIsOutOfRange(_ range: Range<Int64>) async throws {
    try await Self.with { scene, blob throws in
      #expect(try await failure { try await scene.read(blob, range) }.code == .outOfRange)
      #expect(scene.registry.log.records.isEmpty)
    }
  }

  @Test func aBlobShorterThanItsDescriptorIsSeen() async throws {
    try await Self.with { scene, blob throws in
      var longer = blob
      longer.size += 1000
      #expect(try await failure { try await scene.read(longer, 0..<10) }.code == .failedPrecondition)
      #expect(try await failure { try await scene.read(longer, 700_000..<700_010) }.code == .outOfRange)
      #expect(scene.gets(blob.digest).map(\.status) == [206, 416])
    }
  }

  @Test func aPartOfAManifestIsCutFromTheWhole() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      #expect(try await scene.read(image.manifest, 1..<17) == Array("\"config\":{\"diges".utf8))
    }
  }

  @Test func whatIsCutGoesOnWhereItStopped() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.cut(afterBytes: 100_000), times: 2)
      #expect(try await scene.read(blob, 50_000..<650_000) == Array(Self.bytes[50_000..<650_000]))
      let records = scene.gets(blob.digest)
      #expect(records.count == 3)
      #expect(records.first?.range == "bytes=50000-649999")
      #expect(records.allSatisfy { $0.range?.hasSuffix("-649999") ?? false })
    }
  }

  @Test func whatIsAlwaysCutEndsAndTheErrorSaysWhere() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.cut(afterBytes: 0))
      let error = try await failure { try await scene.read(blob, 10..<20) }
      #expect(error.code == .unavailable)
      #expect(error.message.contains("byte 10 of 20"))
      #expect(scene.gets(blob.digest).count == 5)
    }
  }

  @Test func aServerThatIgnoresTheRangeIsReadUpToIt() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.ignoreRange)
      #expect(try await scene.read(blob, 300_000..<300_010) == Array(Self.bytes[300_000..<300_010]))
      #expect(try await scene.read(blob, 699_000..<700_000) == Array(Self.bytes[699_000...]))
      #expect(scene.gets(blob.digest).map(\.status) == [200, 200])
    }
  }

  @Test func anAbsurdNumberOfOtherBytesIsNotRead() async throws {
    try await Scene.with { scene in
      let blob = try await TestImage.add([UInt8](repeating: 0, count: (64 << 20) + 2), TestImage.layerType, to: scene.registry)
      scene.registry.faults.add(.ignoreRange)
      let error = try await failure { try await scene.read(blob, (64 << 20) + 1..<(64 << 20) + 2) }
      #expect(error.code == .outOfRange)
      #expect(error.message.contains("serves no parts"))
    }
  }

  @Test(arguments: [
    RegistryFaults.Fault.shiftRange(7), .shiftRange(-7), .header("Content-Range", nil), .header("Content-Range", "bytes 1000-1009/*"),
    .header("Content-Range", "bytes 0-99999999999999999999/700000"), .header("Content-Range", "bytes 1000-99999/700000"),
    .contentLength(off: -1), .replace([1, 2]),
  ]) func aWrongPartIsAskedForAgain(_ fault: RegistryFaults.Fault) async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(fault, times: 2)
      #expect(try await scene.read(blob, 1000..<2000) == Array(Self.bytes[1000..<2000]))
      #expect(scene.gets(blob.digest).count == 3)
      scene.registry.faults.clear()
      scene.registry.faults.add(fault)
      let error = try await failure { try await scene.read(blob, 1000..<2000) }
      #expect(error.code == .outOfRange)
      #expect(error.message.contains("bytes 1000-1999"))
    }
  }

  @Test func aShorterPartIsTakenAndTheRestAskedFor() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.replace(Array(Self.bytes[1000..<1500])), times: 1)
      scene.registry.faults.add(.header("Content-Range", "bytes 1000-1499/700000"), times: 1)
      #expect(try await scene.read(blob, 1000..<2000) == Array(Self.bytes[1000..<2000]))
      #expect(scene.gets(blob.digest).map(\.range) == ["bytes=1000-1999", "bytes=1500-1999"])
    }
  }

  @Test func whatTheRegistrySaysThatItCannotServeIsOutOfRangeAtOnce() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.status(416))
      #expect(try await failure { try await scene.read(blob, 0..<5) }.code == .outOfRange)
      #expect(scene.gets(blob.digest).count == 1)
    }
  }

  @Test(arguments: [429, 500, 503]) func whatMayPassIsTriedAgain(_ status: Int) async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.status(status), times: 2)
      #expect(try await scene.read(blob, 1..<4) == Array(Self.bytes[1..<4]))
      #expect(scene.gets(blob.digest).map(\.status) == [status, status, 206])
    }
  }

  @Test func aTokenThatIsRefusedIsRenewed() async throws {
    try await Self.with(Self.bearer) { scene, blob throws in
      _ = try await scene.read(blob, 0..<5)
      scene.registry.revokeTokens()
      #expect(try await scene.read(blob, 5..<9) == Array(Self.bytes[5..<9]))
      #expect(scene.registry.log.records(endingIn: "/token").count == 2)
    }
  }

  @Test func aRefusalOfATokenThatWasGoodIsAnsweredByANewOneOnce() async throws {
    try await Self.with(Self.bearer) { scene, blob throws in
      _ = try await scene.read(blob, 0..<5)
      scene.registry.faults.add(.status(403), to: .blobs, times: 1)
      #expect(try await scene.read(blob, 5..<9) == Array(Self.bytes[5..<9]))
      #expect(scene.registry.log.records(endingIn: "/token").count == 2)
      scene.registry.faults.add(.status(403), to: .blobs)
      #expect(try await failure { try await scene.read(blob, 5..<9) }.code == .permissionDenied)
    }
  }

  @Test func aRefusalThatNoTokenCouldChangeIsFinal() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.status(403))
      #expect(try await failure { try await scene.read(blob, 5..<9) }.code == .permissionDenied)
      #expect(scene.gets(blob.digest).count == 1)
    }
  }

  @Test(arguments: [401, 403]) func aRedirectThatHasRunOutIsFollowedAfresh(_ status: Int) async throws {
    try await Self.with(Self.bearer) { scene, blob throws in
      try await RedirectTests.withOther(scene) { other throws in
        _ = try await scene.read(blob, 0..<5)
        scene.registry.faults.add(.redirect(to: other.origin), to: .blobs)
        // What storage says is no question for the registry's credentials, whatever it challenges for.
        other.faults.add(.status(status, headers: ["WWW-Authenticate": "Bearer realm=\"\(other.origin)/token\",service=\"registry\""]), times: 1)
        #expect(try await scene.read(blob, 5..<9) == Array(Self.bytes[5..<9]))
        #expect(other.log.records.map(\.status) == [status, 206])
        #expect(other.log.records.map(\.authorization) == [nil, nil])
        #expect(scene.registry.log.records(endingIn: "/token").count == 1, "the token was not to blame")
      }
    }
  }

  @Test func aReadThatIsCancelledEnds() async throws {
    try await Self.with { scene, blob throws in
      scene.registry.faults.add(.stall(afterBytes: 10))
      let read = Task { try await scene.read(blob, 0..<1000) }
      while scene.gets(blob.digest).first?.bytesSent != 10 { try await Task.sleep(for: .milliseconds(5)) }
      let began = ContinuousClock.now
      read.cancel()
      await #expect(throws: CancellationError.self) { try await read.value }
      #expect(ContinuousClock.now - began < .seconds(15))
      #expect(scene.gets(blob.digest).count == 1)
    }
  }

  @Test func manyReadsAtOnceShareConnections() async throws {
    try await Self.with { scene, blob throws in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for part in 0..<100 {
          group.addTask { () throws in
            let range = Int64(part * 7000)..<Int64((part + 1) * 7000)
            #expect(try await scene.read(blob, range) == Array(Self.bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
          }
        }
        try await group.waitForAll()
      }
      #expect(scene.gets(blob.digest).count == 100)
      #expect(Set(scene.registry.log.records.map(\.connection)).count <= 8)
    }
  }

  /// A fetcher that knows streams alone.
  struct StreamsOnly: Fetcher {
    let base: any Fetcher
    func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream { try await base.fetch(descriptor, from: offset) }
  }

  @Test func aFetcherThatKnowsStreamsAloneReadsPartsFromThem() async throws {
    try await Self.with { scene, blob throws in
      let fetcher = StreamsOnly(base: try scene.resolver.fetcher(for: "\(scene.registry.address)/app:1"))
      #expect(try await fetcher.read(blob, 300_000..<500_000) == Array(Self.bytes[300_000..<500_000]))
      #expect(scene.gets(blob.digest).map(\.range) == ["bytes=300000-"])
      #expect(try await fetcher.read(blob, 5..<5) == [])
      #expect(try await failure { try await fetcher.read(blob, 5..<700_001) }.code == .outOfRange)
      #expect(try await failure { try await fetcher.read(blob, -5..<1) }.code == .outOfRange)
    }
  }
}
