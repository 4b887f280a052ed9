import EmbeddedRegistry
import Foundation
import Hashing
import NIOHTTP1
import OCI
import Protocols
import RegistryFetcher
import TestSupport
import Testing

@Suite struct ReferrerTests {
  struct Setting: Sendable {
    var subject: Descriptor
    var signature: Descriptor
    var notes: [Descriptor]
  }

  /// An image, what signs it, and notes about it. `hasAPI` is whether the registry keeps account of referrers.
  static func with(hasAPI: Bool = true, _ body: @Sendable (Scene, Setting) async throws -> Void) async throws {
    try await Scene.with { scene in
      if !hasAPI { remove(scene.registry) }
      let pusher = try PushTests.pusher(scene)
      try await PushTests.pushBlobs(pusher)
      let subject = try await pusher.push(manifest: try PushTests.manifest(), mediaType: MediaType.ociManifest, tag: "1")
      func refer(_ type: String?, _ note: String) async throws -> Descriptor {
        try await pusher.push(manifest: try PushTests.manifest(subject: subject, type: type, note: note), mediaType: MediaType.ociManifest, tag: nil)
      }
      let signature = try await refer("application/x-signature", "s")
      var notes: [Descriptor] = []
      for note in ["a", "b", "c"] { notes.append(try await refer("text/x-note;v=1", note)) }
      try await body(scene, Setting(subject: subject, signature: signature, notes: notes))
    }
  }

  static func remove(_ registry: EmbeddedRegistry) {
    registry.faults.add(.status(404), to: .referrers)
    registry.faults.add(.header("OCI-Subject", nil), method: "PUT")
  }

  static func source(_ registry: EmbeddedRegistry, _ scene: Scene) throws -> any ReferrerSource {
    try scene.resolver.referrers(for: "\(registry.address)/app:1")
  }

  @Test(arguments: [true, false]) func whatRefersIsListed(_ hasAPI: Bool) async throws {
    try await Self.with(hasAPI: hasAPI) { scene, setting throws in
      let source = try Self.source(scene.registry, scene)
      #expect(Set(try await source.referrers(of: setting.subject.digest, artifactType: nil)) == Set(setting.notes + [setting.signature]))
      #expect(try await source.referrers(of: setting.subject.digest, artifactType: "application/x-signature") == [setting.signature])
      #expect(setting.signature.artifactType == "application/x-signature" && setting.signature.annotations == ["note": "s"])
      #expect(Set(try await source.referrers(of: setting.subject.digest, artifactType: "text/x-note;v=1")) == Set(setting.notes))
      #expect(try await source.referrers(of: setting.subject.digest, artifactType: "text/x-none") == [])
      #expect(try await source.referrers(of: .of([9]), artifactType: nil) == [])
    }
  }

  @Test func aRegistryThatAppliesNoFilterIsFilteredHere() async throws {
    try await Self.with { scene, setting throws in
      let source = try Self.source(scene.registry, scene)
      // It neither says that it filters nor does.
      let all = try await EmbeddedRegistryTests.ask(scene.registry, .GET, "/v2/app/referrers/\(setting.subject.digest)").body
      scene.registry.faults.add(.replace(all), to: .referrers)
      scene.registry.faults.add(.header("OCI-Filters-Applied", nil), to: .referrers)
      #expect(try await source.referrers(of: setting.subject.digest, artifactType: "application/x-signature") == [setting.signature])
    }
  }

  @Test(arguments: [1, 2, 3]) func pagesAreFollowed(_ size: Int) async throws {
    try await Self.with { scene, setting throws in
      try await EmbeddedRegistry.with(.init(root: scene.scratch.path, referrersPerPage: size)) { registry throws in
        let source = try Self.source(registry, scene)
        #expect(Set(try await source.referrers(of: setting.subject.digest, artifactType: nil)) == Set(setting.notes + [setting.signature]))
        #expect(registry.log.records.count == (4 + size - 1) / size)
        registry.log.clear()
        #expect(Set(try await source.referrers(of: setting.subject.digest, artifactType: "text/x-note;v=1")) == Set(setting.notes))
        #expect(registry.log.records.count == (3 + size - 1) / size)
      }
    }
  }

  @Test(arguments: ["<http://192.0.2.1/v2/app/referrers/x>; rel=\"next\"", "<ftp://x>; rel=\"next\"", "</v2/app/referrers/SUBJECT>; rel=next", "<?>; rel=next"])
  func aNextPageThatLeadsNowhereIsAnError(_ link: String) async throws {
    try await Self.with { scene, setting throws in
      let subject = setting.subject.digest
      scene.registry.faults.add(.header("Link", link.replacingOccurrences(of: "SUBJECT", with: subject.description)), to: .referrers)
      let error = try await failure { try await Self.source(scene.registry, scene).referrers(of: subject, artifactType: nil) }
      #expect(error.code == (link.hasPrefix("<?") ? .invalidArgument : .failedPrecondition))
      #expect(error.message.contains("referrers of \(subject)"))
    }
  }

  @Test(arguments: ["", "[]", "{}", "{\"manifests\":[{\"mediaType\":\"a\",\"digest\":\"sha256:1\",\"size\":1}]}"])
  func anAnswerThatIsNoIndexIsAnError(_ text: String) async throws {
    try await Self.with { scene, setting throws in
      scene.registry.faults.add(.replace(Array(text.utf8)), to: .referrers)
      let error = try await failure { try await Self.source(scene.registry, scene).referrers(of: setting.subject.digest, artifactType: nil) }
      #expect(error.code == .failedPrecondition)
      #expect(error.message.contains("referrers of \(setting.subject.digest)"))
    }
  }

  @Test func theStandInTagKeepsWhatOthersWroteThere() async throws {
    try await Self.with(hasAPI: false) { scene, setting throws in
      let tag = "sha256-\(setting.subject.digest.hex)"
      let other = """
        {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","annotations":{"kept":"yes"},"manifests":[{"mediaType":"\(MediaType.ociManifest)",\
        "digest":"\(setting.signature.digest)","size":\(setting.signature.size),"artifactType":"application/x-signature",\
        "platform":{"os":"linux","architecture":"arm64","os.version":"1"}}]}
        """
      _ = try await scene.registry.add(manifest: Array(other.utf8), mediaType: MediaType.ociIndex, to: "app", tag: tag)
      let pusher = try PushTests.pusher(scene)
      let manifest = try PushTests.manifest(subject: setting.subject, type: "text/x-new", note: "n")
      for _ in 0..<2 { _ = try await pusher.push(manifest: manifest, mediaType: MediaType.ociManifest, tag: nil) }
      let text = String(decoding: try await EmbeddedRegistryTests.ask(scene.registry, .GET, "/v2/app/manifests/\(tag)").body, as: UTF8.self)
      #expect(text.contains("\"kept\":\"yes\"") && text.contains("\"os.version\":\"1\"") && text.contains("text/x-new"))
      #expect(text.components(separatedBy: Digest.of(manifest).description).count == 2, "noted once")
    }
  }

  @Test func manyWritersOfTheStandInTagDoNotLoseEachOther() async throws {
    try await Self.with(hasAPI: false) { scene, setting throws in
      let pusher = try PushTests.pusher(scene)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for note in 0..<4 {
          group.addTask { () throws in
            _ = try await pusher.push(
              manifest: try PushTests.manifest(subject: setting.subject, type: "text/x-many", note: "\(note)"), mediaType: MediaType.ociManifest, tag: nil)
          }
        }
        try await group.waitForAll()
      }
      #expect(try await Self.source(scene.registry, scene).referrers(of: setting.subject.digest, artifactType: "text/x-many").count == 4)
    }
  }

  @Test func aTagThatIsNoIndexIsNotOverwritten() async throws {
    try await Self.with(hasAPI: false) { scene, setting throws in
      let other = try PushTests.manifest(note: "in the way")
      _ = try await scene.registry.add(manifest: other, mediaType: MediaType.ociManifest, to: "app", tag: "sha256-\(setting.subject.digest.hex)")
      let manifest = try PushTests.manifest(subject: setting.subject, type: "text/x-new")
      let error = try await failure { try await PushTests.pusher(scene).push(manifest: manifest, mediaType: MediaType.ociManifest, tag: nil) }
      #expect(error.code == .failedPrecondition)
      #expect(error.message.contains("sha256-\(setting.subject.digest.hex)"))
    }
  }
}
