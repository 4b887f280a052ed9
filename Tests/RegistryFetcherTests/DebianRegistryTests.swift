import Foundation
import Hashing
import OCI
import Protocols
import RegistryFetcher
import TestSupport
import Testing

/// Another's registry: Debian's docker-registry 2.8, which keeps no account of referrers.
@Suite(.enabled(if: DebianRegistry.isInstalled, "docker-registry is not installed")) struct DebianRegistryTests {
  @Test func pushPartsAndReferrers() async throws {
    try await DebianRegistry.with { address in
      let resolver = RegistryResolver(configuration: .quick)
      let pusher = try resolver.pusher(for: "\(address)/team/app")
      try await PushTests.pushBlobs(pusher)
      #expect(try await pusher.push(PushTests.blob, bytes: PushTests.bytes) == false)
      let manifest = try PushTests.manifest()
      let image = try await pusher.push(manifest: manifest, mediaType: MediaType.ociManifest, tag: "1")
      #expect(try await resolver.resolve("\(address)/team/app:1").target == image)

      let fetcher = try resolver.fetcher(for: "\(address)/team/app:1")
      for range in [0..<1, 100_000..<400_000, 699_999..<700_000, 0..<700_000] as [Range<Int64>] {
        #expect(try await fetcher.read(PushTests.blob, range) == Array(PushTests.bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
      }
      #expect(try await fetcher.read(image, 0..<image.size) == manifest)
      var longer = PushTests.blob
      longer.size += 100
      #expect(try await failure { try await fetcher.read(longer, 700_000..<700_050) }.code == .outOfRange)

      let source = try resolver.referrers(for: "\(address)/team/app")
      #expect(try await source.referrers(of: image.digest, artifactType: nil) == [])
      var referrers: [Descriptor] = []
      for note in ["a", "b"] {
        let manifest = try PushTests.manifest(subject: image, type: "text/x-\(note)", note: note)
        referrers.append(try await pusher.push(manifest: manifest, mediaType: MediaType.ociManifest, tag: nil))
      }
      #expect(try await source.referrers(of: image.digest, artifactType: nil) == referrers)
      #expect(try await source.referrers(of: image.digest, artifactType: "text/x-b") == [referrers[1]])
      #expect(try await resolver.resolve("\(address)/team/app:sha256-\(image.digest.hex)").target.mediaType == MediaType.ociIndex)

      let refused = try await failure {
        try await pusher.push(Descriptor(mediaType: TestImage.layerType, digest: .of([1]), size: 700_000), bytes: PushTests.bytes)
      }
      #expect(refused.code == .invalidArgument)
      #expect(refused.message.contains("DIGEST_INVALID"))
      try await resolver.close()
    }
  }

  @Test func aCertificateIsTrustedWhereItIsConfigured() async throws {
    let scratch = ScratchDirectory("ref-certificate")
    let (key, certificate) = ("\(scratch.path)/key.pem", "\(scratch.path)/cert.pem")
    let made = try run([
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", certificate,
      "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1",
    ])
    #expect(made.status == 0, "\(made.output)")
    try await DebianRegistry.with(tls: (certificate, key)) { address in
      func resolver(_ host: RegistryHost) -> RegistryResolver {
        var configuration = RegistryResolver.Configuration.quick
        configuration.attempts = 1
        configuration.hosts = { _ in RegistryHosts(server: host) }
        return RegistryResolver(configuration: configuration)
      }
      let trusting = resolver(RegistryHost(address: "https://\(address)", authorities: [certificate]))
      let pusher = try trusting.pusher(for: "registry.example/app")
      try await PushTests.pushBlobs(pusher)
      let image = try await pusher.push(manifest: try PushTests.manifest(), mediaType: MediaType.ociManifest, tag: "1")
      #expect(try await trusting.resolve("registry.example/app:1").target == image)
      let careless = resolver(RegistryHost(address: address, skipsVerification: true))
      #expect(try await careless.resolve("registry.example/app:1").target == image)
      let careful = resolver(RegistryHost(address: address))
      let error = try await failure { try await careful.resolve("registry.example/app:1") }
      #expect(error.code == .unavailable)
      #expect(error.message.lowercased().contains("certificate"), "\(error.message)")
      for resolver in [trusting, careless, careful] { try await resolver.close() }
    }
  }
}

enum DebianRegistry {
  private static let program = "/usr/bin/docker-registry"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: program) }

  /// A registry of its own on a free port of loopback; ended afterwards.
  static func with(tls: (certificate: String, key: String)? = nil, _ body: (_ address: String) async throws -> Void) async throws {
    let scratch = ScratchDirectory("ref-docker-registry")
    let configuration = """
      version: 0.1
      log: {level: info, accesslog: {disabled: true}}
      storage: {filesystem: {rootdirectory: \(scratch.path)/data}}
      http: {addr: "127.0.0.1:0"\(tls.map { ", tls: {certificate: \($0.certificate), key: \($0.key)}" } ?? "")}
      """
    try Data(configuration.utf8).write(to: URL(fileURLWithPath: "\(scratch.path)/config.yml"))
    let log = "\(scratch.path)/log"
    #expect(FileManager.default.createFile(atPath: log, contents: nil))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = ["serve", "\(scratch.path)/config.yml"]
    let output = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
    process.standardOutput = output
    process.standardError = output
    try process.run()
    defer { process.terminate() }
    var address: Substring?
    for _ in 0..<500 where address == nil {
      try await Task.sleep(for: .milliseconds(20))
      let text = try String(contentsOfFile: log, encoding: .utf8)
      address = text.firstRange(of: "listening on ").map { text[$0.upperBound...].prefix { $0 != "\"" && $0 != "," } }
    }
    try await body(String(try #require(address, "docker-registry does not say where it listens")))
    withExtendedLifetime(scratch) {}
  }
}
