import ConformanceSuites
import Hashing
import OCI
import Protocols

extension PullSuite {
  static let resolving: [ContractCase<PullSubject>] = [
    pullCase(
      "plain.whole", "an image is pulled whole: manifest, config and every layer, byte for byte", "distribution-spec: pulling; DS-08, DS-13",
      why: "whoever pulls gets an image that does not run, or runs as something else"
    ) { subject, registry, image in
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a plain pull", image)
    },
    pullCase(
      "resolve.accept", "a manifest is asked for with the media types that the client understands, OCI and Docker alike", "FE-01; DS-08, DS-05",
      why: "a registry that holds both forms sends one that the client cannot read"
    ) { subject, registry, _ in
      _ = try await subject.pulling(name(registry))
      let asked = registry.requests.filter(\.isManifest)
      try expect(!asked.isEmpty, "the client never asked for the manifest")
      for request in asked {
        let accept = request.headers["accept"] ?? ""
        for type in [MediaType.ociManifest, MediaType.ociIndex, MediaType.dockerManifest, MediaType.dockerList] {
          try expect(accept.contains(type) || accept.contains("*/*"), "\(request.method) of the manifest accepts \"\(accept)\": expected \(type) in it")
        }
      }
    },
    pullCase(
      "resolve.type-parameters", "parameters behind the manifest's Content-Type are passed over", "FE-01; DS-06, DS-08",
      why: "images cannot be pulled from registries that add a charset"
    ) { subject, registry, image in
      registry.changeManifests { reply, _ in reply.setHeader("Content-Type", "\(MediaType.ociManifest); charset=utf-8") }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a manifest with a charset", image)
    },
    pullCase(
      "resolve.no-digest-header", "a registry need not send Docker-Content-Digest", "FE-01; DS-10, DS-19",
      why: "images cannot be pulled from simple registries and file servers"
    ) { subject, registry, image in
      registry.changeManifests { reply, _ in reply.setHeader("Docker-Content-Digest", nil) }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a manifest without its digest", image)
    },
    pullCase(
      "resolve.lying-digest-header", "a Docker-Content-Digest that is not the manifest's is never believed", "FE-01; DS-10",
      why: "a registry, or whoever sits before it, has another manifest run under a trusted digest"
    ) { subject, registry, image in
      let other = TestImage()
      other.add(to: registry, tag: nil)
      registry.changeManifests { reply, request in
        if request.kind == .manifest("1") { reply.setHeader("Docker-Content-Digest", "\(other.manifest.descriptor.digest)") }
        if request.kind == .manifest("\(other.manifest.descriptor.digest)") { reply.body = image.manifest.bytes }
      }
      _ = try await subject.pulling(name(registry))
      try await subject.expectNothingWrong("a manifest under another's digest", image.everything + other.everything)
    },
    pullCase(
      "resolve.by-digest.wrong-body", "of a name with a digest nothing but the bytes of that digest is taken", "FE-02; DS-11; CON-30",
      why: "who pins a digest gets another image"
    ) { subject, registry, image in
      let other = TestImage()
      other.add(to: registry, tag: nil)
      registry.changeManifests { reply, _ in
        reply.body = other.manifest.bytes
        reply.setHeader("Docker-Content-Digest", "\(image.manifest.descriptor.digest)")
      }
      let ending = try await subject.pulling("\(registry.host)/case/image@\(image.manifest.descriptor.digest)")
      try await subject.expectFailure(ending, "another manifest than the digest names", image)
    },
    pullCase(
      "resolve.by-digest", "a name with a digest is pulled without asking for any tag", "FE-02; DS-11, DS-08",
      why: "an image pinned by digest cannot be pulled"
    ) { subject, registry, image in
      let ending = try await subject.pulling("\(registry.host)/case/image@\(image.manifest.descriptor.digest)")
      try await subject.expectWhole(ending, "a name with a digest", image)
      try expect(!registry.requests.contains { $0.kind == .manifest("1") || $0.kind == .manifest("latest") }, "a tag was asked for")
    },
    pullCase(
      "resolve.type-mismatch", "a manifest that calls itself something else than the registry does is refused", "FE-03; DS-07", level: .should,
      why: "one document is read in two ways by two programs, and signatures cover the other one"
    ) { subject, registry, image in
      registry.changeManifests { reply, _ in reply.setHeader("Content-Type", MediaType.ociIndex) }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a manifest served as an index", image)
    },
    pullCase(
      "resolve.absent", "a tag that the registry does not know ends the pull with an error", "FE-04; DS-12",
      why: "a script goes on without its image"
    ) { subject, registry, image in
      let ending = try await subject.pulling("\(registry.host)/case/image:absent")
      try await subject.expectFailure(ending, "an absent tag", image)
      try expect(!registry.requests.contains(where: \.isBlob), "blobs were asked for")
    },
    pullCase(
      "resolve.html", "a page of HTML with status 200 is no manifest", "FE-09; DS-08",
      why: "behind a captive portal or a broken mirror something is stored that is no image", threads: ["containerd/containerd#9552"]
    ) { subject, registry, image in
      registry.script { request, _ in request.isManifest ? .text(200, "text/html", "<html><body>Please sign in</body></html>") : nil }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "HTML for a manifest", image)
    },
    pullCase(
      "resolve.empty", "an empty answer with status 200 is no manifest", "FE-09; DS-08",
      why: "a broken mirror hides the real registry", threads: ["containerd/containerd#9552"]
    ) { subject, registry, image in
      registry.changeManifests { reply, _ in
        reply.body = []
        reply.setHeader("Docker-Content-Digest", nil)
      }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "nothing for a manifest", image)
    },
    pullCase(
      "resolve.huge", "a manifest of 40 MiB is refused", "FE-20; PUL-07", level: .should,
      why: "anybody who can name an image fills the memory of the machine"
    ) { subject, registry, image in
      let huge =
        Array(image.manifest.bytes.dropLast()) + Array(#","annotations":{"filling":""#.utf8) + [UInt8](repeating: 97, count: 40 << 20) + Array(#""}}"#.utf8)
      registry.add(manifest: huge, type: MediaType.ociManifest, tags: "1")
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a manifest of 40 MiB", image)
    },
    pullCase(
      "resolve.no-head", "a registry that knows no HEAD is asked with GET", "FE-04; DS-08, DS-18", level: .should,
      why: "images cannot be pulled from simple servers"
    ) { subject, registry, image in
      registry.script { request, _ in request.method == "HEAD" ? .error(405, "UNSUPPORTED") : nil }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a registry without HEAD", image)
    },
  ]

  /// 401 to whoever brings none of these tokens.
  @Sendable static func challenge(_ registry: FaultyRegistry, _ request: RegistryRequest, tokens: [String], error: String = "") -> RegistryReply? {
    if request.kind == .token || tokens.contains(request.token ?? "") { return nil }
    let words = #"Bearer realm="http://\#(registry.host)/token",service="case-registry",scope="repository:case/image:pull"\#(error)"#
    return .error(401, "UNAUTHORIZED", [("WWW-Authenticate", words)])
  }

  static let authenticating: [ContractCase<PullSubject>] = [
    pullCase(
      "auth.token", "to a Bearer challenge the client fetches a token, for that service and scope, and comes back with it", "FE-04, FE-12; PUL-10",
      why: "nothing can be pulled from any registry in the cloud"
    ) { subject, registry, image in
      registry.script { request, registry in challenge(registry, request, tokens: ["the-token"]) }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a registry that wants a token", image)
      let asked = registry.requests.filter { $0.kind == .token }
      try expect(!asked.isEmpty, "no token was fetched")
      for request in asked where request.method == "GET" {
        try expect(request.target.contains("service=case-registry"), "the token was asked for without the service: \(request.target)")
        try expect(request.target.contains("scope=repository"), "the token was asked for without the scope: \(request.target)")
      }
    },
    pullCase(
      "auth.token-once", "one token serves the whole pull", "FE-12; PUL-01", level: .should, why: "the token server counts requests, and refuses after some"
    ) { subject, registry, image in
      registry.script { request, registry in challenge(registry, request, tokens: ["the-token"]) }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a registry that wants a token", image)
      let count = registry.requests.count { $0.kind == .token }
      try expect(count <= 2, "\(count) tokens were fetched for one image of \(image.layers.count) layers: expected one or two")
    },
    pullCase(
      "auth.token-expires", "a token that has run out is replaced by a new one, and the pull goes on", "FE-12; PUL-01", level: .should,
      why: "long pulls fail in their last layer"
    ) { subject, registry, image in
      let last = image.layers[1].descriptor.digest
      registry.script { request, registry in
        if request.kind == .token {
          return .text(200, "application/json", #"{"token":"token-\#(request.number)","access_token":"token-\#(request.number)","expires_in":300}"#)
        }
        let valid = request.kind == .blob("\(last)") ? (2...9).map { "token-\($0)" } : (1...9).map { "token-\($0)" }
        return challenge(registry, request, tokens: valid, error: #",error="invalid_token""#)
      }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a token that runs out", image)
    },
    pullCase(
      "auth.refused", "a registry that takes no token is given up, after few attempts", "FE-04; PUL-03",
      why: "the client hammers the registry, and the account is locked"
    ) { subject, registry, image in
      registry.script { request, registry in challenge(registry, request, tokens: []) }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a registry that refuses every token", image)
      try expect(registry.requests.count <= 40, "\(registry.requests.count) requests to a registry that refuses every token")
    },
    pullCase("auth.forbidden", "403 ends the pull with an error", "FE-04; REF-F05", why: "a script goes on without its image") { subject, registry, image in
      registry.script { request, _ in request.kind == .ping ? nil : .error(403, "DENIED") }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a registry that denies", image)
    },
    pullCase(
      "auth.no-token-in-words", "no token stands in what the client says when it fails", "FE-13; HTTP-05",
      why: "credentials end in logs and tickets", threads: ["containerd/containerd#5921"]
    ) { subject, registry, image in
      registry.script { request, registry in
        if request.kind == .token { return .text(200, "application/json", #"{"token":"secret-token-4711","access_token":"secret-token-4711"}"#) }
        if let refusal = challenge(registry, request, tokens: ["secret-token-4711"]) { return refusal }
        return request.isBlob ? .error(404, "BLOB_UNKNOWN") : nil
      }
      let ending = try await subject.pulling(name(registry))
      try await subject.expectFailure(ending, "blobs that are not there", image)
      try expect(!ending.said.contains("secret-token-4711"), "what the client says holds the token: \(ending.said.suffix(400))")
    },
  ]
}
