import OCI
import Protocols
import Testing

@Suite struct ImageDocumentTests {
  static func digest(_ byte: Character) -> String { "sha256:" + String(repeating: byte, count: 64) }

  static func index(_ entries: (Character, String)...) -> [UInt8] {
    let manifests = entries.map { name, rest in "{\"mediaType\":\"\(MediaType.ociManifest)\",\"digest\":\"\(digest(name))\",\"size\":7\(rest)}" }
    return Array("{\"schemaVersion\":2,\"manifests\":[\(manifests.joined(separator: ","))]}".utf8)
  }

  static func platform(_ os: String, _ architecture: String, _ variant: String = "") -> String {
    ",\"platform\":{\"os\":\"\(os)\",\"architecture\":\"\(architecture)\"" + (variant.isEmpty ? "" : ",\"variant\":\"\(variant)\"") + "}"
  }

  func choice(_ index: [UInt8], _ platform: Platform) throws -> String? { try ImageIndex(parsing: index).manifest(for: platform)?.digest.description }

  @Test func anAttestationIsNeverChosen() throws {
    let attestation = Self.platform("unknown", "unknown") + ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}"
    let index = Self.index(("a", attestation), ("b", Self.platform("linux", "amd64")), ("c", attestation))
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64")) == Self.digest("b"))
    #expect(try choice(Self.index(("a", attestation)), Platform(os: "linux", architecture: "amd64")) == nil)
  }

  @Test func theBestVariantIsChosenWhateverTheOrder() throws {
    let index = Self.index(
      ("a", Self.platform("linux", "arm", "v5")), ("b", Self.platform("linux", "arm", "v7")), ("c", Self.platform("linux", "arm", "v6")),
      ("d", Self.platform("linux", "386")))
    #expect(try choice(index, Platform(os: "linux", architecture: "arm", variant: "v7")) == Self.digest("b"))
    #expect(try choice(index, Platform(os: "linux", architecture: "arm", variant: "v6")) == Self.digest("c"))
    #expect(try choice(index, Platform(os: "linux", architecture: "arm")) == Self.digest("b"), "arm alone is v7")
    #expect(try choice(index, Platform(os: "linux", architecture: "arm64")) == Self.digest("b"), "an arm64 runs arm, the newest first")
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64")) == Self.digest("d"), "an amd64 runs 386")
    #expect(try choice(index, Platform(os: "linux", architecture: "s390x")) == nil)
    #expect(try choice(index, Platform(os: "windows", architecture: "amd64")) == nil)
  }

  @Test func aVariantThatTheMachineLacksIsNotChosen() throws {
    let index = Self.index(("a", Self.platform("linux", "amd64", "v3")), ("b", Self.platform("linux", "amd64")))
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64")) == Self.digest("b"))
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64", variant: "v3")) == Self.digest("a"))
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64", variant: "v2")) == Self.digest("b"))
  }

  @Test(arguments: [("linux", "aarch64", ""), ("linux", "arm64", ""), ("linux", "arm64", "v8"), ("linux", "arm64", "8"), ("Linux", "ARM64", "")])
  func namesOfOnePlatformAreOne(_ os: String, _ architecture: String, _ variant: String) throws {
    #expect(
      try choice(Self.index(("a", Self.platform(os, architecture, variant))), Platform(os: "linux", architecture: "arm64", variant: "v8")) == Self.digest("a"))
  }

  @Test func anEntryWithoutAPlatformServesWhereNothingElseDoes() throws {
    let index = Self.index(("a", ""), ("b", Self.platform("linux", "amd64")))
    #expect(try choice(index, Platform(os: "linux", architecture: "amd64")) == Self.digest("b"))
    #expect(try choice(index, Platform(os: "linux", architecture: "riscv64")) == Self.digest("a"))
    #expect(try choice(Self.index(("a", ",\"artifactType\":\"text/x-signature\"")), Platform(os: "linux", architecture: "amd64")) == nil)
  }

  @Test func aDocumentThatIsManifestAndIndexAtOnceIsRefused() {
    let entry = "{\"mediaType\":\"\(MediaType.ociManifest)\",\"digest\":\"\(Self.digest("a"))\",\"size\":1}"
    let both = Array("{\"schemaVersion\":2,\"config\":\(entry),\"layers\":[],\"manifests\":[\(entry)]}".utf8)
    #expect(throws: ContainerdError.self) { try ImageManifest(parsing: both) }
    #expect(throws: ContainerdError.self) { try ImageIndex(parsing: both) }
  }

  @Test func aDocumentThatCallsItselfSomethingElseIsRefused() {
    let entry = "{\"mediaType\":\"\(MediaType.ociConfig)\",\"digest\":\"\(Self.digest("a"))\",\"size\":1}"
    let bytes = Array("{\"mediaType\":\"\(MediaType.ociIndex)\",\"schemaVersion\":2,\"config\":\(entry),\"layers\":[]}".utf8)
    let error = #expect(throws: ContainerdError.self) { try ImageManifest(parsing: bytes) }
    #expect(error?.code == .invalidArgument)
  }

  @Test(arguments: [
    "", "[]", "{}", "{\"config\":1,\"layers\":[]}",
    "{\"config\":{\"mediaType\":\"m\",\"digest\":\"sha256:../../etc/passwd\",\"size\":1},\"layers\":[]}",
    "{\"config\":{\"mediaType\":\"m\",\"digest\":\"sha256:\(String(repeating: "a", count: 64))\",\"size\":-1},\"layers\":[]}",
    "{\"config\":{\"mediaType\":\"m\",\"digest\":\"sha256:\(String(repeating: "a", count: 64))\",\"size\":9223372036854775808},\"layers\":[]}",
  ]) func brokenManifestsAreInvalid(_ text: String) {
    let error = #expect(throws: ContainerdError.self) { try ImageManifest(parsing: Array(text.utf8)) }
    #expect(error?.code == .invalidArgument)
  }
}
