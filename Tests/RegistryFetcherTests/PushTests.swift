import EmbeddedRegistry
import Foundation
import Hashing
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import RegistryFetcher
import Synchronization
import TestSupport
import Testing

@Suite struct PushTests {
  static let bytes = TestImage.bytes(700_000)
  static let blob = Descriptor(mediaType: TestImage.layerType, digest: .of(bytes), size: Int64(bytes.count))
  static let config = Array("{\"os\":\"linux\"}".utf8)

  static func manifest(subject: Descriptor? = nil, type: String? = nil, note: String = "") throws -> [UInt8] {
    struct Wire: Encodable {
      var schemaVersion = 2
      var mediaType = MediaType.ociManifest
      var artifactType: String?
      var config: TestImage.Entry
      var layers: [TestImage.Entry]
      var subject: TestImage.Entry?
      var annotations: [String: String]
    }
    let config = Descriptor(mediaType: MediaType.ociConfig, digest: .of(config), size: Int64(config.count))
    return try TestImage.json(
      Wire(artifactType: type, config: .init(config), layers: [.init(blob)], subject: subject.map { .init($0) }, annotations: ["note": note]))
  }

  static func pusher(_ scene: Scene) throws -> any Pusher { try scene.resolver.pusher(for: "\(scene.registry.address)/app:1") }

  /// The blobs of `manifest`.
  static func pushBlobs(_ pusher: any Pusher) async throws {
    try await pusher.push(blob, bytes: bytes)
    try await pusher.push(Descriptor(mediaType: MediaType.ociConfig, digest: .of(config), size: Int64(config.count)), bytes: config)
  }

  @Test func whatIsPushedCanBePulled() async throws {
    try await Scene.with(RangedReadTests.bearer, resolver: .quick(user: "me", password: "secret")) { scene throws in
      let pusher = try Self.pusher(scene)
      try await Self.pushBlobs(pusher)
      let manifest = try Self.manifest()
      let pushed = try await pusher.push(manifest: manifest, mediaType: MediaType.ociManifest, tag: "1")
      #expect(pushed == Descriptor(mediaType: MediaType.ociManifest, digest: .of(manifest), size: Int64(manifest.count)))
      let pulled = try await scene.pull("\(scene.registry.address)/app:1")
      #expect(pulled.target == pushed)
      #expect(scene.content.bytes(Self.blob.digest) == Self.bytes)
      #expect(
        Set(scene.registry.log.records(endingIn: "/token").map(\.path)) == [
          "/token?scope=repository%3Aapp%3Apull%2Cpush&service=registry", "/token?scope=repository%3Aapp%3Apull&service=registry",
        ], "a pull asks for no more than it needs")
    }
  }

  @Test func whatIsThereIsNotSentAgain() async throws {
    try await Scene.with { scene throws in
      let pusher = try Self.pusher(scene)
      #expect(try await pusher.push(Self.blob, bytes: Self.bytes))
      #expect(try await pusher.push(Self.blob) { throw ContainerdError.internalError("nobody needs the bytes") } == false)
      try await Self.pushBlobs(pusher)
      for tag in ["1", "1", nil, nil] { _ = try await pusher.push(manifest: try Self.manifest(), mediaType: MediaType.ociManifest, tag: tag) }
      // The second under the tag, and both by digest, find what the first has put there.
      #expect(scene.registry.log.records.filter { $0.method == "PUT" && $0.path.contains("/manifests/") }.count == 1)
      _ = try await pusher.push(manifest: try Self.manifest(note: "new"), mediaType: MediaType.ociManifest, tag: "1")
      #expect(try await scene.resolver.resolve("\(scene.registry.address)/app:1").target.digest == .of(try Self.manifest(note: "new")))
    }
  }

  @Test func theEmptyBlobIsPushedToo() async throws {
    try await Scene.with { scene throws in
      let empty = Descriptor(mediaType: TestImage.layerType, digest: .of([]), size: 0)
      #expect(try await Self.pusher(scene).push(empty, bytes: []))
      #expect(try await Self.pusher(scene).push(empty, bytes: []) == false)
    }
  }

  @Test func anUploadThatFailsIsBegunAnew() async throws {
    try await Scene.with { scene throws in
      scene.registry.faults.add(.status(503), method: "PUT", times: 1)
      scene.registry.faults.add(.status(500), method: "POST", times: 1)
      let opened = Mutex(0)
      let sent = try await Self.pusher(scene).push(Self.blob) {
        opened.withLock { $0 += 1 }
        return Pieces(Self.bytes)
      }
      #expect(sent)
      #expect(scene.registry.log.records.map(\.method) == ["HEAD", "POST", "POST", "PUT", "POST", "PUT"])
      #expect(opened.withLock { $0 } == 2)
      #expect(try await scene.fetch(Self.blob) == Self.bytes)
    }
  }

  @Test(arguments: ["/v2/app/blobs/uploads/x?_state=a%2Fb", "http://HOST/v2/app/blobs/uploads/x?_state=a%2Fb", "x?_state=a%2Fb"])
  func theLocationIsTakenAsItIs(_ location: String) async throws {
    try await Scene.with { scene throws in
      scene.registry.faults.add(.header("Location", location.replacingOccurrences(of: "HOST", with: scene.registry.address)), method: "POST")
      scene.registry.faults.add(.status(201), method: "PUT")
      #expect(try await Self.pusher(scene).push(Self.blob, bytes: Self.bytes))
      #expect(
        scene.registry.log.records.last?.path == "/v2/app/blobs/uploads/x?_state=a%2Fb&digest=\(WebDigest.escape(Self.blob.digest))")
    }
  }

  @Test func aLocationElsewhereGetsTheBytesAndNotTheToken() async throws {
    try await Scene.with(RangedReadTests.bearer, resolver: .quick(user: "me", password: "secret")) { scene throws in
      try await RedirectTests.withOther(scene) { other throws in
        scene.registry.faults.add(.header("Location", "\(other.origin)/v2/app/blobs/uploads/x"), method: "POST")
        other.faults.add(.status(201))
        #expect(try await Self.pusher(scene).push(Self.blob, bytes: Self.bytes))
        #expect(other.log.records.map(\.method) == ["PUT"])
        #expect(other.log.records.map(\.authorization) == [nil])
      }
    }
  }

  @Test func noLocationIsAnError() async throws {
    try await Scene.with { scene throws in
      scene.registry.faults.add(.header("Location", nil), method: "POST")
      #expect(try await failure { try await Self.pusher(scene).push(Self.blob, bytes: Self.bytes) }.code == .failedPrecondition)
    }
  }

  @Test func whatTheRegistrySaysAgainstItIsInTheError() async throws {
    try await Scene.with { scene throws in
      let pusher = try Self.pusher(scene)
      // Bytes that are not what the descriptor says.
      let lie = Descriptor(mediaType: TestImage.layerType, digest: .of([1]), size: 700_000)
      let blob = try await failure { try await pusher.push(lie, bytes: Self.bytes) }
      #expect(blob.code == .invalidArgument)
      #expect(blob.message.contains("DIGEST_INVALID"))
      let manifest = try await failure { try await pusher.push(manifest: try Self.manifest(), mediaType: MediaType.ociManifest, tag: "1") }
      #expect(manifest.code == .notFound)
      #expect(manifest.message.contains("MANIFEST_BLOB_UNKNOWN") && manifest.message.contains("app:1"))
      #expect(try await failure { try await pusher.push(manifest: [1], mediaType: MediaType.ociManifest, tag: "1") }.code == .invalidArgument)
      #expect(try await failure { try await pusher.push(manifest: try Self.manifest(), mediaType: "text/plain", tag: "1") }.code == .invalidArgument)
      #expect(try await failure { try await pusher.push(manifest: try Self.manifest(), mediaType: MediaType.ociManifest, tag: "a/b") }.code == .invalidArgument)
      scene.registry.faults.add(.status(403))
      #expect(try await failure { try await pusher.push(Self.blob, bytes: Self.bytes) }.code == .permissionDenied)
    }
  }

  @Test func theAnonymousMayNotPush() async throws {
    try await Scene.with(RangedReadTests.bearer) { scene throws in
      #expect(try await failure { try await Self.pusher(scene).push(Self.blob, bytes: Self.bytes) }.code == .unauthenticated)
    }
  }

  @Test func whatTheSourceThrowsEndsThePush() async throws {
    try await Scene.with { scene throws in
      let error = try await failure { try await Self.pusher(scene).push(Self.blob) { throw ContainerdError.notFound("the layer's file") } }
      #expect(error == .notFound("the layer's file"))
      let late = try await failure { try await Self.pusher(scene).push(Self.blob) { Pieces(Self.bytes, failing: .dataLoss("the layer's file")) } }
      #expect(late == .dataLoss("the layer's file"))
      #expect(try await failure { try await scene.fetch(Self.blob) }.code == .notFound)
    }
  }

  @Test func aPushIsCancelled() async throws {
    try await Scene.with { scene throws in
      scene.registry.faults.add(.delay(.seconds(60)), method: "PUT")
      let push = Task { try await Self.pusher(scene).push(Self.blob, bytes: Self.bytes) }
      while !scene.registry.log.records.contains(where: { $0.method == "PUT" }) { try await Task.sleep(for: .milliseconds(5)) }
      push.cancel()
      await #expect(throws: CancellationError.self) { try await push.value }
    }
  }
}

/// Bytes in small pieces, and perhaps an error in the place of the second half.
actor Pieces: ByteStream {
  private var rest: ArraySlice<UInt8>
  private let error: ContainerdError?
  private let half: Int

  init(_ bytes: [UInt8], failing error: ContainerdError? = nil) {
    rest = bytes[...]
    half = bytes.count / 2
    self.error = error
  }

  func next() throws -> [UInt8]? {
    if let error, rest.count <= half { throw error }
    let piece = Array(rest.prefix(50_000))
    rest = rest.dropFirst(piece.count)
    return piece.isEmpty ? nil : piece
  }

  func cancel() { rest = [] }
}

enum WebDigest {
  static func escape(_ digest: Digest) -> String { digest.description.replacingOccurrences(of: ":", with: "%3A") }
}
