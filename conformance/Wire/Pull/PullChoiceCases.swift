import ConformanceSuites
import Hashing
import OCI
import Protocols

extension PullSuite {
  static let redirecting: [ContractCase<PullSubject>] = [
    redirectCase("elsewhere", "a blob may lie on another host", "FE-11; PUL-09", why: "nothing can be pulled from any registry in the cloud") {
      _, elsewhere, digest in
      "http://\(elsewhere.otherName)/elsewhere/\(digest)?signature=s3cret"
    },
    redirectCase("relative", "a redirect may be relative", "FE-11; HTTP-02", why: "registries behind path-rewriting proxies cannot be pulled from") {
      _, _, digest in
      "/elsewhere/\(digest)"
    },
    ContractCase(
      "pull.redirect.no-credentials", "the registry's token is not shown to the host that a redirect names", "FE-11; PUL-02",
      why: "any host that a registry points to can push in its users' names", threads: ["containerd/containerd#3785"]
    ) { subject in
      try await redirected(subject, wantsToken: true) { elsewhere, digest in
        "http://\(elsewhere.otherName)/elsewhere/\(digest)"
      } then: { elsewhere in
        for request in elsewhere.requests {
          try expect(request.headers["authorization"] == nil, "the other host was shown \"\(request.headers["authorization"]?.prefix(10) ?? "")…\"")
        }
      }
    },
    pullCase("redirect.loop", "a circle of redirects ends the pull with an error", "FE-11; HTTP-01", why: "a pull hangs for ever") { subject, registry, image in
      registry.script { request, registry in
        if request.isBlob { return .redirect(to: "http://\(registry.host)/elsewhere/\(image.layers[0].descriptor.digest)?turn=\(request.number)") }
        return nil
      }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a circle of redirects", image)
      try expect(registry.requests.count <= 400, "\(registry.requests.count) requests in a circle of redirects")
    },
    pullCase(
      "redirect.no-secrets-in-words", "a signed address is not repeated in what the client says when it fails", "FE-13; HTTP-06", level: .should,
      why: "whoever reads the log reads the registry's storage"
    ) { subject, registry, image in
      registry.script { request, registry in
        guard request.isBlob else { return nil }
        return request.target.contains("elsewhere")
          ? .error(403, "DENIED") : .redirect(to: "http://\(registry.otherName)/elsewhere/none?X-Amz-Signature=s3cret4711")
      }
      let ending = try await subject.pulling(name(registry))
      try await subject.expectFailure(ending, "a redirect to what is denied", image)
      try expect(!ending.said.contains("s3cret4711"), "what the client says holds the signature: \(ending.said.suffix(400))")
    },
  ]

  private static func redirectCase(
    _ what: String, _ sentence: String, _ source: String, why: String, _ location: @escaping @Sendable (FaultyRegistry, FaultyRegistry, Digest) -> String
  ) -> ContractCase<PullSubject> {
    pullCase("redirect.\(what)", sentence, source, why: why) { subject, registry, image in
      try await FaultyRegistry.with { other in
        image.add(to: other, tag: nil)
        registry.script { request, registry in
          guard request.isBlob, !request.target.contains("elsewhere"), case .blob(let text) = request.kind, let digest = try? Digest(parsing: text) else {
            return nil
          }
          return .redirect(to: location(registry, other, digest))
        }
        try await subject.expectWhole(try await subject.pulling(name(registry)), "blobs behind a redirect", image)
      }
    }
  }

  /// Pulls from a registry whose blobs lie on another host, and looks at what that host saw.
  private static func redirected(
    _ subject: PullSubject, wantsToken: Bool, to location: @escaping @Sendable (FaultyRegistry, String) -> String,
    then check: @escaping @Sendable (FaultyRegistry) throws -> Void
  ) async throws {
    try await FaultyRegistry.with { registry in
      try await FaultyRegistry.with { elsewhere in
        let image = TestImage()
        image.add(to: registry)
        image.add(to: elsewhere, tag: nil)
        registry.script { request, registry in
          if let refusal = challenge(registry, request, tokens: ["the-token"]) { return refusal }
          guard case .blob(let digest) = request.kind else { return nil }
          return .redirect(to: location(elsewhere, digest))
        }
        try await subject.expectWhole(try await subject.pulling(name(registry)), "blobs on another host", image)
        try expect(!elsewhere.requests.isEmpty, "nobody came to the other host")
        try check(elsewhere)
      }
    }
  }

  /// An index of these manifests under the tag `1`.
  @discardableResult
  static func index(_ registry: FaultyRegistry, _ entries: [String]) -> Digest {
    let text = #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)","manifests":[\#(entries.joined(separator: ","))]}"#
    return registry.add(manifest: Array(text.utf8), type: MediaType.ociIndex, tags: "1")
  }
  static func entry(_ descriptor: Descriptor, _ platform: Platform?) -> String {
    let text = String(TestImage.json(descriptor).dropLast())
    guard let platform else { return text + "}" }
    let variant = platform.variant.isEmpty ? "" : #","variant":"\#(platform.variant)""#
    return text + #","platform":{"architecture":"\#(platform.architecture)","os":"\#(platform.os)"\#(variant)}}"#
  }
  static let foreign = Platform(os: "linux", architecture: Platform.host.architecture == "s390x" ? "ppc64le" : "s390x")

  static let choosing: [ContractCase<PullSubject>] = [
    pullCase(
      "index.own-platform", "of an index the manifest for this machine is pulled, and no other's blobs", "FE-19; IM-10",
      why: "another machine's program is run, or gigabytes are fetched for nothing"
    ) { subject, registry, image in
      let other = TestImage(platform: foreign)
      other.add(to: registry, tag: nil)
      index(registry, [entry(other.manifest.descriptor, foreign), entry(image.manifest.descriptor, .host)])
      try await subject.expectWhole(try await subject.pulling(name(registry)), "an index", image)
      for (descriptor, _) in other.layers { try expectEqual(registry.gets(of: descriptor.digest), 0, "requests for a layer of another platform") }
    },
    pullCase(
      "index.first-match", "of several manifests for this machine the first is pulled", "FE-19; IM-10", level: .should,
      why: "who publishes an image cannot say which variant is meant"
    ) { subject, registry, image in
      let other = TestImage()
      other.add(to: registry, tag: nil)
      index(registry, [entry(image.manifest.descriptor, .host), entry(other.manifest.descriptor, .host)])
      try await subject.expectWhole(try await subject.pulling(name(registry)), "an index with two matches", image)
      for (descriptor, _) in other.layers { try expectEqual(registry.gets(of: descriptor.digest), 0, "requests for a layer of the second match") }
    },
    pullCase(
      "index.no-match", "an index without a manifest for this machine ends the pull with an error", "FE-19; IM-10", why: "a script goes on without its image"
    ) {
      subject, registry, _ in
      let other = TestImage(platform: foreign)
      other.add(to: registry, tag: nil)
      index(registry, [entry(other.manifest.descriptor, foreign)])
      try await subject.expectFailure(try await subject.pulling(name(registry)), "an index for other machines", other)
    },
    pullCase(
      "index.unknown-entry", "an entry of an index whose media type nobody knows is passed over", "FE-19; IM-10", level: .should,
      why: "images with attestations and signatures beside them cannot be pulled"
    ) { subject, registry, image in
      let strange = Descriptor(mediaType: "application/vnd.example.dream.v1+json", digest: registry.add(blob: bytes("{}")), size: 2)
      index(registry, [entry(strange, Platform(os: "unknown", architecture: "unknown")), entry(image.manifest.descriptor, .host)])
      try await subject.expectWhole(try await subject.pulling(name(registry)), "an index with an unknown entry", image)
    },
    pullCase(
      "index.deep", "indexes within indexes, sixty deep, come to an end", "FE-20; PUL-07", why: "one name keeps a machine busy for ever"
    ) { subject, registry, image in
      var inner = entry(image.manifest.descriptor, .host)
      for depth in 0..<60 {
        let text = #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)","annotations":{"depth":"\#(depth)"},"manifests":[\#(inner)]}"#
        let digest = registry.add(manifest: Array(text.utf8), type: MediaType.ociIndex, tags: "1")
        inner = entry(Descriptor(mediaType: MediaType.ociIndex, digest: digest, size: Int64(text.utf8.count)), .host)
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "sixty indexes", image)
    },
    pullCase(
      "manifest.schema1", "a manifest of schema 1 is refused by name, not by accident", "FE-21; PUL-08", level: .may,
      why: "nobody can tell why an old image is not pulled"
    ) { subject, registry, image in
      let text = #"{"schemaVersion":1,"name":"case/image","tag":"1","architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}"#
      registry.add(manifest: bytes(text), type: "application/vnd.docker.distribution.manifest.v1+prettyjws", tags: "1")
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a manifest of schema 1", image)
    },
    pullCase(
      "manifest.unknown-layer-type", "a layer whose media type nobody knows is stored like any other", "FE-24; IM-08", level: .should,
      why: "artifacts and new layer forms cannot be carried by old clients"
    ) { subject, registry, _ in
      let image = TestImage(layerType: "application/vnd.example.layer.v1+dream")
      image.add(to: registry, tag: "dream")
      try await subject.expectWhole(try await subject.pulling("\(registry.host)/case/image:dream"), "layers of an unknown type", image)
    },
    pullCase(
      "manifest.foreign-urls", "to the address that a layer names itself no credentials are shown", "FE-23; FE-11; PUL-02",
      why: "whoever writes a manifest collects tokens"
    ) { subject, registry, _ in
      try await FaultyRegistry.with { elsewhere in
        let image = TestImage { descriptor in
          descriptor.mediaType == MediaType.ociConfig
            ? TestImage.json(descriptor)
            : String(TestImage.json(descriptor).dropLast()) + #","urls":["http://\#(elsewhere.otherName)/elsewhere/\#(descriptor.digest)"]}"#
        }
        image.add(to: registry, tag: "urls")
        image.add(to: elsewhere, tag: nil)
        registry.script { request, registry in challenge(registry, request, tokens: ["the-token"]) }
        _ = try await subject.pulling("\(registry.host)/case/image:urls")
        for request in elsewhere.requests { try expect(request.headers["authorization"] == nil, "the address in the manifest was shown a token") }
      }
    },
    pullCase(
      "manifest.layer-twice", "a layer that an image has twice is fetched once", "FE-16; PUL-06", level: .should, why: "the same gigabyte is fetched twice"
    ) { subject, registry, image in
      let layer = image.layers[0].descriptor
      let config =
        #"{"architecture":"\#(Platform.host.architecture)","os":"linux","rootfs":{"type":"layers","diff_ids":["\#(layer.digest)","\#(layer.digest)"]}}"#
      let digest = registry.add(blob: bytes(config))
      let descriptor = Descriptor(mediaType: MediaType.ociConfig, digest: digest, size: Int64(config.utf8.count))
      let text =
        #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","config":\#(TestImage.json(descriptor)),"layers":["#
        + #"\#(TestImage.json(layer)),\#(TestImage.json(layer))]}"#
      registry.add(manifest: bytes(text), type: MediaType.ociManifest, tags: "twice")
      let ending = try await subject.pulling("\(registry.host)/case/image:twice")
      try expect(ending.succeeded, "an image with a layer twice was not pulled: \(ending.said.suffix(300))")
      try expectEqual(registry.gets(of: layer.digest), 1, "requests for the layer")
    },
  ]

  static let repeating: [ContractCase<PullSubject>] = [
    pullCase(
      "repeat.nothing-again", "what is there already is not fetched again", "FE-16; PUL-06", level: .should, why: "every start of a container loads the network"
    ) {
      subject, registry, image in
      try await subject.expectWhole(try await subject.pulling(name(registry)), "the first pull", image)
      let before = registry.requests.count { $0.isBlob && $0.method == "GET" }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "the second pull", image)
      try expectEqual(registry.requests.count { $0.isBlob && $0.method == "GET" } - before, 0, "blobs fetched by the second pull")
    },
    pullCase(
      "repeat.two-at-once", "two pulls of one image at the same time both succeed", "FE-16; PUL-06", level: .should,
      why: "two containers of one image cannot start together",
      threads: ["containerd/containerd#1240", "containerd/containerd#5675"]
    ) { subject, registry, image in
      registry.script { request, registry in
        guard request.isBlob else { return nil }
        var reply = registry.usual(request)
        reply.pace = (10_000, 30)
        return reply
      }
      async let first = subject.pulling(name(registry))
      async let second = subject.pulling(name(registry))
      for ending in [try await first, try await second] { try await subject.expectWhole(ending, "two pulls at once", image) }
    },
  ]
}
