import ConformanceSuites
import Protocols

/// What a client that pulls images must do, judged from the registry's side and by what it has stored in the end.
public enum PullSuite {
  public static let cases: [ContractCase<PullSubject>] = resolving + authenticating + transferring + lying + redirecting + choosing + repeating

  static func pullCase(
    _ id: String, _ sentence: String, _ source: String, level: ContractLevel = .must, needs: Set<Capability> = [], why: String, threads: [String] = [],
    body: @escaping @Sendable (PullSubject, FaultyRegistry, TestImage) async throws -> Void
  ) -> ContractCase<PullSubject> {
    ContractCase("pull.\(id)", sentence, source, level: level, needs: needs, why: why, threads: threads) { subject in
      try await FaultyRegistry.with { registry in
        let image = TestImage()
        image.add(to: registry)
        try await body(subject, registry, image)
        // Who asks for nothing must not pass where an error, or a success that nobody can look into, was wanted.
        if registry.requests.isEmpty {
          throw Mismatch(
            description: "the client has asked the registry for nothing", expected: "requests to the registry on \(registry.host)", actual: "none")
        }
      }
    }
  }

  static func name(_ registry: FaultyRegistry) -> String { "\(registry.host)/case/image:1" }
}

extension FaultyRegistry {
  /// Requests for manifests and blobs with a body.
  var gets: [RegistryRequest] { requests.filter { $0.method == "GET" && ($0.isManifest || $0.isBlob) } }
  func gets(of digest: Digest) -> Int { requests.count { $0.method == "GET" && $0.kind == .blob("\(digest)") } }

  /// Changes what the registry would answer to GETs of one blob.
  func change(blob digest: Digest, _ change: @escaping @Sendable (inout RegistryReply, RegistryRequest) -> Void) {
    script { request, registry in
      guard request.method == "GET", request.kind == .blob("\(digest)") else { return nil }
      var reply = registry.usual(request)
      change(&reply, request)
      return reply
    }
  }

  /// Changes what the registry would answer about manifests, HEAD or GET.
  func changeManifests(_ change: @escaping @Sendable (inout RegistryReply, RegistryRequest) -> Void) {
    script { request, registry in
      guard request.isManifest else { return nil }
      var reply = registry.usual(request)
      change(&reply, request)
      return reply
    }
  }
}

extension RegistryReply {
  mutating func setHeader(_ name: String, _ value: String?) {
    headers.removeAll { $0.0.lowercased() == name.lowercased() }
    if let value { headers.append((name, value)) }
  }
}
