import AsyncHTTPClient
import EmbeddedRegistry
import Hashing
import NIOCore
import NIOHTTP1
import OCI
import Protocols
import TestSupport
import Testing

/// The registry itself, held to the distribution-spec.
@Suite struct EmbeddedRegistryTests {
  struct Answer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }
  }

  static func with(maximumManifestSize: Int = 4 << 20, _ body: @Sendable (EmbeddedRegistry) async throws -> Void) async throws {
    let scratch = ScratchDirectory("ref-registry")
    try await EmbeddedRegistry.with(.init(root: scratch.path, maximumManifestSize: maximumManifestSize), body)
    withExtendedLifetime(scratch) {}
  }

  static func ask(
    _ registry: EmbeddedRegistry, _ method: HTTPMethod, _ path: String, _ headers: [(String, String)] = [], body: [UInt8]? = nil
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: registry.origin + path)
    request.method = method
    request.headers = HTTPHeaders(headers)
    if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
    return Answer(status: Int(response.status.code), headers: response.headers, body: Array(try await response.body.collect(upTo: 16 << 20).readableBytesView))
  }

  static let bytes = TestImage.bytes(100_000)
  static let digest = Digest.of(bytes)

  @Test func aBlobIsPushedInOneRequestAndPulledBack() async throws {
    try await Self.with { registry in
      let start = try await Self.ask(registry, .POST, "/v2/team/app/blobs/uploads/")
      #expect(start.status == 202)
      let location = try #require(start.headers.first(name: "Location"))
      let end = try await Self.ask(registry, .PUT, "\(location)?digest=\(Self.digest)", body: Self.bytes)
      #expect(end.status == 201)
      #expect(end.headers.first(name: "Docker-Content-Digest") == Self.digest.description)
      #expect(end.headers.first(name: "Location") == "/v2/team/app/blobs/\(Self.digest)")
      let back = try await Self.ask(registry, .GET, "/v2/team/app/blobs/\(Self.digest)")
      #expect(back.body == Self.bytes)
      #expect(back.headers.first(name: "ETag") == "\"\(Self.digest)\"")
      let head = try await Self.ask(registry, .HEAD, "/v2/team/app/blobs/\(Self.digest)")
      #expect(head.status == 200 && head.body.isEmpty && head.headers.first(name: "Content-Length") == "100000")
      let whole = try await Self.ask(registry, .POST, "/v2/other/blobs/uploads/?digest=\(Self.digest)", body: Self.bytes)
      #expect(whole.status == 201)
    }
  }

  @Test func aBlobIsPushedInChunksThatMustFollowOneAnother() async throws {
    try await Self.with { registry in
      let location = try #require(try await Self.ask(registry, .POST, "/v2/app/blobs/uploads/").headers.first(name: "Location"))
      let first = try await Self.ask(registry, .PATCH, location, [("Content-Range", "0-59999")], body: Array(Self.bytes[..<60_000]))
      #expect(first.status == 202)
      #expect(first.headers.first(name: "Range") == "0-59999")
      let gap = try await Self.ask(registry, .PATCH, location, [("Content-Range", "70000-70001")], body: [1, 2])
      #expect(gap.status == 416)
      #expect(gap.headers.first(name: "Range") == "0-59999")
      let status = try await Self.ask(registry, .GET, location)
      #expect(status.status == 204 && status.headers.first(name: "Range") == "0-59999")
      #expect(try await Self.ask(registry, .GET, "/v2/other\(location.dropFirst(7))").status == 404, "an upload belongs to its repository")
      let second = try await Self.ask(registry, .PATCH, location, body: Array(Self.bytes[60_000..<90_000]))
      #expect(second.status == 202)
      #expect(try await Self.ask(registry, .PUT, "\(location)?digest=\(Self.digest)", body: Array(Self.bytes[90_000...])).status == 201)
      #expect(try await Self.ask(registry, .GET, "/v2/app/blobs/\(Self.digest)").body == Self.bytes)
      #expect(try await Self.ask(registry, .GET, location).status == 404, "the upload is over")
    }
  }

  @Test func aWrongDigestMakesNoBlob() async throws {
    try await Self.with { registry in
      let location = try #require(try await Self.ask(registry, .POST, "/v2/app/blobs/uploads/").headers.first(name: "Location"))
      let end = try await Self.ask(registry, .PUT, "\(location)?digest=\(Self.digest)", body: [1, 2, 3])
      #expect(end.status == 400)
      #expect(end.text.contains("DIGEST_INVALID"))
      #expect(try await Self.ask(registry, .HEAD, "/v2/app/blobs/\(Self.digest)").status == 404)
      #expect(try await Self.ask(registry, .PUT, location, body: []).text.contains("DIGEST_INVALID"))
    }
  }

  @Test func anUploadIsCancelled() async throws {
    try await Self.with { registry in
      let location = try #require(try await Self.ask(registry, .POST, "/v2/app/blobs/uploads/").headers.first(name: "Location"))
      #expect(try await Self.ask(registry, .DELETE, location).status == 204)
      #expect(try await Self.ask(registry, .PATCH, location, body: [1]).text.contains("BLOB_UPLOAD_UNKNOWN"))
      #expect(try await Self.ask(registry, .GET, "/v2/app/blobs/uploads/..%2F..%2Fetc").text.contains("BLOB_UPLOAD_UNKNOWN"))
    }
  }

  @Test func aBlobOfAnotherRepositoryIsMounted() async throws {
    try await Self.with { registry in
      _ = try await registry.add(blob: Self.bytes, to: "from")
      #expect(try await Self.ask(registry, .HEAD, "/v2/to/blobs/\(Self.digest)").status == 404, "what one repository has, another has not")
      #expect(try await Self.ask(registry, .POST, "/v2/to/blobs/uploads/?mount=\(Self.digest)&from=from").status == 201)
      #expect(try await Self.ask(registry, .GET, "/v2/to/blobs/\(Self.digest)").body == Self.bytes)
      let absent = Digest.of([1])
      #expect(try await Self.ask(registry, .POST, "/v2/to/blobs/uploads/?mount=\(absent)&from=from").status == 202, "what cannot be mounted is uploaded")
      #expect(try await Self.ask(registry, .POST, "/v2/to/blobs/uploads/?mount=\(absent)&from=../../etc").status == 400)
    }
  }

  @Test(arguments: [
    ("bytes=0-0", 206, "bytes 0-0/100000", 1), ("bytes=10-19", 206, "bytes 10-19/100000", 10), ("bytes=99990-", 206, "bytes 99990-99999/100000", 10),
    ("bytes=-5", 206, "bytes 99995-99999/100000", 5), ("bytes=99990-200000", 206, "bytes 99990-99999/100000", 10),
    ("bytes=-200000", 206, "bytes 0-99999/100000", 100_000),
    ("bytes=100000-", 416, "bytes */100000", 0), ("bytes=-0", 416, "bytes */100000", 0), ("bytes=5-4", 200, nil, 100_000), ("bytes=x", 200, nil, 100_000),
    ("bytes=0-1,3-4", 200, nil, 100_000), ("bytes=0-9223372036854775807", 206, "bytes 0-99999/100000", 100_000), ("lines=1-2", 200, nil, 100_000),
  ]) func aRangeOfABlob(_ range: String, _ status: Int, _ content: String?, _ count: Int) async throws {
    try await Self.with { registry in
      _ = try await registry.add(blob: Self.bytes, to: "app")
      let answer = try await Self.ask(registry, .GET, "/v2/app/blobs/\(Self.digest)", [("Range", range)])
      #expect(answer.status == status)
      #expect(answer.headers.first(name: "Content-Range") == content)
      if status != 416 { #expect(answer.body.count == count) }
      let stale = try await Self.ask(registry, .GET, "/v2/app/blobs/\(Self.digest)", [("Range", range), ("If-Range", "\"other\"")])
      #expect(stale.status == 200 && stale.body == Self.bytes)
    }
  }

  static func manifest(_ config: Digest, _ layers: [Digest] = [], type: String = MediaType.ociManifest, extra: String = "") -> [UInt8] {
    func entry(_ digest: Digest) -> String { "{\"mediaType\":\"m\",\"digest\":\"\(digest)\",\"size\":1}" }
    let layers = layers.map(entry).joined(separator: ",")
    return Array("{\"schemaVersion\":2,\"mediaType\":\"\(type)\",\"config\":\(entry(config)),\"layers\":[\(layers)]\(extra)}".utf8)
  }

  @Test(arguments: [MediaType.ociManifest, MediaType.dockerManifest]) func aManifestIsKeptByteForByte(_ type: String) async throws {
    try await Self.with { registry in
      let config = try await registry.add(blob: Self.bytes, to: "app")
      let manifest = Self.manifest(config, type: type, extra: " \n")
      let put = try await Self.ask(registry, .PUT, "/v2/app/manifests/v1", [("Content-Type", type)], body: manifest)
      #expect(put.status == 201)
      let digest = Digest.of(manifest)
      #expect(put.headers.first(name: "Docker-Content-Digest") == digest.description)
      for reference in ["v1", digest.description] {
        let back = try await Self.ask(registry, .GET, "/v2/app/manifests/\(reference)")
        #expect(back.body == manifest)
        #expect(back.headers.first(name: "Content-Type") == type)
        #expect(back.headers.first(name: "Docker-Content-Digest") == digest.description)
        #expect(try await Self.ask(registry, .HEAD, "/v2/app/manifests/\(reference)").headers.first(name: "Content-Length") == "\(manifest.count)")
      }
      #expect(try await Self.ask(registry, .DELETE, "/v2/app/manifests/v1").status == 202)
      #expect(try await Self.ask(registry, .GET, "/v2/app/manifests/v1").text.contains("MANIFEST_UNKNOWN"))
      #expect(try await Self.ask(registry, .GET, "/v2/app/manifests/\(digest)").status == 200, "the tag alone went")
      #expect(try await Self.ask(registry, .PUT, "/v2/app/manifests/v2", [("Content-Type", type)], body: manifest).status == 201)
      #expect(try await Self.ask(registry, .DELETE, "/v2/app/manifests/\(digest)").status == 202)
      #expect(try await Self.ask(registry, .GET, "/v2/app/manifests/v2").status == 404, "its tags went with it")
    }
  }

  @Test func aManifestThatCannotBeIsRefused() async throws {
    try await Self.with(maximumManifestSize: 1000) { registry in
      let config = try await registry.add(blob: Self.bytes, to: "app")
      func put(_ body: [UInt8], type: String = MediaType.ociManifest, at reference: String = "v1") async throws -> String {
        let answer = try await Self.ask(registry, .PUT, "/v2/app/manifests/\(reference)", [("Content-Type", type)], body: body)
        return "\(answer.status) \(answer.text)"
      }
      let absent = Digest.of([1])
      #expect(try await put(Self.manifest(absent)).contains("404 {\"errors\":[{\"code\":\"MANIFEST_BLOB_UNKNOWN\""))
      #expect(try await put(Self.manifest(config, [absent])).contains("MANIFEST_BLOB_UNKNOWN"))
      #expect(try await put(Array("{".utf8)).contains("MANIFEST_INVALID"))
      #expect(try await put(Self.manifest(config), type: "text/plain").contains("MANIFEST_INVALID"))
      #expect(try await put(Self.manifest(config), type: MediaType.dockerManifest).contains("MANIFEST_INVALID"))
      #expect(try await put(Self.manifest(config), at: absent.description).contains("DIGEST_INVALID"))
      #expect(try await put(Self.manifest(config), at: ".v1").contains("MANIFEST_INVALID"))
      #expect(try await put(Self.manifest(config, extra: String(repeating: " ", count: 1000))).hasPrefix("413 "))
      #expect(try await Self.ask(registry, .GET, "/v2/app/tags/list").text == "{\"name\":\"app\",\"tags\":[]}")
    }
  }

  @Test func listsAreInOrderAndInPages() async throws {
    try await Self.with { registry in
      for tag in ["b", "A", "c", "10", "a"] { _ = try await registry.add(manifest: [], mediaType: "m", to: "team/app", tag: tag) }
      _ = try await registry.add(manifest: [], mediaType: "m", to: "app")
      #expect(try await Self.ask(registry, .GET, "/v2/team/app/tags/list").text == "{\"name\":\"team/app\",\"tags\":[\"10\",\"A\",\"a\",\"b\",\"c\"]}")
      let page = try await Self.ask(registry, .GET, "/v2/team/app/tags/list?n=2&last=A")
      #expect(page.text.contains("[\"a\",\"b\"]"))
      #expect(page.headers.first(name: "Link") == "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"")
      #expect(try await Self.ask(registry, .GET, "/v2/team/app/tags/list?n=2&last=b").headers.first(name: "Link") == nil)
      #expect(try await Self.ask(registry, .GET, "/v2/team/app/tags/list?n=0").text.contains("[]"))
      #expect(try await Self.ask(registry, .GET, "/v2/team/app/tags/list?n=x").status == 400)
      #expect(try await Self.ask(registry, .GET, "/v2/_catalog?n=1").text == "{\"repositories\":[\"app\"]}")
      #expect(try await Self.ask(registry, .GET, "/v2/nobody/tags/list").text.contains("NAME_UNKNOWN"))
    }
  }

  @Test func referrersOfASubjectAreListed() async throws {
    try await Self.with { registry in
      let config = try await registry.add(blob: Self.bytes, to: "app")
      let subject = Digest.of([7])
      let extra = ",\"artifactType\":\"text/x-note\",\"subject\":{\"mediaType\":\"m\",\"digest\":\"\(subject)\",\"size\":1}"
      let manifest = Self.manifest(config, extra: extra)
      #expect(try await Self.ask(registry, .GET, "/v2/app/referrers/\(subject)").text.contains("\"manifests\":[]"))
      let put = try await Self.ask(registry, .PUT, "/v2/app/manifests/\(Digest.of(manifest))", [("Content-Type", MediaType.ociManifest)], body: manifest)
      #expect(put.headers.first(name: "OCI-Subject") == subject.description)
      let found = try await Self.ask(registry, .GET, "/v2/app/referrers/\(subject)")
      #expect(found.headers.first(name: "Content-Type") == MediaType.ociIndex)
      #expect(found.text.contains(Digest.of(manifest).description) && found.text.contains("text/x-note"))
      #expect(try await Self.ask(registry, .GET, "/v2/app/referrers/\(subject)?artifactType=other").text.contains("\"manifests\":[]"))
    }
  }

  @Test(arguments: [
    ("/v2/App/tags/list", 400, "NAME_INVALID"), ("/v2/a..b/tags/list", 400, "NAME_INVALID"), ("/v2/_blobs/tags/list", 400, "NAME_INVALID"),
    ("/v2/..%2f..%2fetc/manifests/passwd", 400, "NAME_INVALID"), ("/v2/%00/manifests/x", 400, "NAME_INVALID"), ("/v2/a/%zz/manifests/x", 400, "NAME_INVALID"),
    ("/v2/a/manifests/sha256:..%2f..%2fetc%2fpasswd", 400, "DIGEST_INVALID"), ("/v2/a/blobs/sha256:12", 400, "DIGEST_INVALID"),
    ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"), ("/v2/tags/list", 400, "NAME_INVALID"), ("/etc/passwd", 404, "UNSUPPORTED"),
    ("/v2/a/b/c", 404, "UNSUPPORTED"), ("/v1/", 404, "UNSUPPORTED"), ("/v2/" + String(repeating: "a", count: 256) + "/tags/list", 400, "NAME_INVALID"),
  ]) func aPathThatLeadsNowhereIsRefusedInTheSpecificationsWords(_ path: String, _ status: Int, _ code: String) async throws {
    try await Self.with { registry in
      let answer = try await Self.ask(registry, .GET, path)
      #expect(answer.status == status)
      #expect(answer.text.contains("\"code\":\"\(code)\""))
      #expect(answer.headers.first(name: "Content-Type") == "application/json")
    }
  }

  @Test func theWrongMethodIsUnsupported() async throws {
    try await Self.with { registry throws in
      #expect(try await Self.ask(registry, .GET, "/v2/").status == 200)
      #expect(try await Self.ask(registry, .POST, "/v2/").status == 405)
      #expect(try await Self.ask(registry, .PUT, "/v2/app/blobs/\(Self.digest)", body: [1]).status == 405)
    }
  }

  @Test func whatWasPushedIsThereAfterARestartAndUploadsGoOn() async throws {
    let scratch = ScratchDirectory("ref-registry")
    let location = try await EmbeddedRegistry.with(.init(root: scratch.path)) { registry in
      _ = try await registry.add(manifest: Array("{}".utf8), mediaType: "m", to: "app", tag: "1")
      let location = try #require(try await Self.ask(registry, .POST, "/v2/app/blobs/uploads/").headers.first(name: "Location"))
      _ = try await Self.ask(registry, .PATCH, location, body: Array(Self.bytes[..<50_000]))
      return location
    }
    try await EmbeddedRegistry.with(.init(root: scratch.path)) { registry throws in
      #expect(try await Self.ask(registry, .GET, "/v2/app/manifests/1").text == "{}")
      #expect(try await Self.ask(registry, .PUT, "\(location)?digest=\(Self.digest)", body: Array(Self.bytes[50_000...])).status == 201)
      #expect(try await Self.ask(registry, .GET, "/v2/app/blobs/\(Self.digest)").body == Self.bytes)
    }
  }

  @Test func anUploadThatNobodyHasTouchedForADayIsForgottenAtTheNextStart() async throws {
    let scratch = ScratchDirectory("ref-registry")
    let locations = try await EmbeddedRegistry.with(.init(root: scratch.path)) { registry in
      var locations: [String] = []
      for _ in 0..<2 { locations.append(try #require(try await Self.ask(registry, .POST, "/v2/app/blobs/uploads/").headers.first(name: "Location"))) }
      return locations
    }
    let old = try #require(locations[0].split(separator: "/").last)
    #expect(try run(["touch", "-d", "2 days ago", "\(scratch.path)/uploads/\(old)/data"]).status == 0)
    try await EmbeddedRegistry.with(.init(root: scratch.path)) { registry throws in
      #expect(try await Self.ask(registry, .GET, locations[0]).status == 404)
      #expect(try await Self.ask(registry, .GET, locations[1]).status == 204)
    }
  }

  @Test(arguments: ["0.0.0.0", "::", "192.0.2.1"]) func aRegistryIsForThisMachineOnly(_ host: String) async throws {
    let scratch = ScratchDirectory("ref-registry")
    let error = try await failure { try await EmbeddedRegistry(.init(root: scratch.path, host: host)).address }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("loopback"))
  }

  @Test func aDeletedBlobIsGoneFromItsRepositoryAlone() async throws {
    try await Self.with { registry in
      for name in ["a", "b"] { _ = try await registry.add(blob: Self.bytes, to: name) }
      #expect(try await Self.ask(registry, .DELETE, "/v2/a/blobs/\(Self.digest)").status == 202)
      #expect(try await Self.ask(registry, .DELETE, "/v2/a/blobs/\(Self.digest)").status == 404)
      #expect(try await Self.ask(registry, .HEAD, "/v2/b/blobs/\(Self.digest)").status == 200)
    }
  }
}
