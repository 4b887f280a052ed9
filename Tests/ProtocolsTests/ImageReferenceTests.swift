import OCI
import Protocols
import Testing

@Suite struct ImageReferenceTests {
  static let digest = "sha256:" + String(repeating: "ab", count: 32)

  @Test(arguments: [
    ("busybox", "docker.io", "library/busybox", "latest", "docker.io/library/busybox:latest"),
    ("busybox:1.36", "docker.io", "library/busybox", "1.36", "docker.io/library/busybox:1.36"),
    ("team/app", "docker.io", "team/app", "latest", "docker.io/team/app:latest"),
    ("docker.io/busybox", "docker.io", "library/busybox", "latest", "docker.io/library/busybox:latest"),
    ("index.docker.io/library/busybox", "docker.io", "library/busybox", "latest", "docker.io/library/busybox:latest"),
    ("docker.io/team/app:v1", "docker.io", "team/app", "v1", "docker.io/team/app:v1"),
    ("localhost/app", "localhost", "app", "latest", "localhost/app:latest"),
    ("localhost:5000", "docker.io", "library/localhost", "5000", "docker.io/library/localhost:5000"),
    ("localhost:5000/app", "localhost:5000", "app", "latest", "localhost:5000/app:latest"),
    ("127.0.0.1:5000/team/app:1.2", "127.0.0.1:5000", "team/app", "1.2", "127.0.0.1:5000/team/app:1.2"),
    ("[::1]:5000/app", "[::1]:5000", "app", "latest", "[::1]:5000/app:latest"),
    ("registry.example.com/a/b/c/d:x_Y-z.1", "registry.example.com", "a/b/c/d", "x_Y-z.1", "registry.example.com/a/b/c/d:x_Y-z.1"),
    ("Registry.Example.COM/app", "Registry.Example.COM", "app", "latest", "Registry.Example.COM/app:latest"),
    ("a.b/c__d/e-f---g/h_i.j", "a.b", "c__d/e-f---g/h_i.j", "latest", "a.b/c__d/e-f---g/h_i.j:latest"),
    ("app:_underscore", "docker.io", "library/app", "_underscore", "docker.io/library/app:_underscore"),
  ]) func aNameGetsItsDefaults(_ text: String, _ registry: String, _ repository: String, _ tag: String, _ whole: String) throws {
    let reference = try ImageReference(parsing: text)
    #expect(reference.registry == registry)
    #expect(reference.repository == repository)
    #expect(reference.tag == tag)
    #expect(reference.digest == nil)
    #expect(reference.description == whole)
    #expect(try ImageReference(parsing: whole) == reference, "a whole name means itself")
  }

  @Test func aDigestNeedsNoTag() throws {
    let reference = try ImageReference(parsing: "busybox@\(Self.digest)")
    #expect(reference.tag == nil)
    #expect(reference.target == Self.digest)
    #expect(reference.description == "docker.io/library/busybox@\(Self.digest)")
  }

  @Test func ofTagAndDigestTheDigestIsMeantAndBothAreKept() throws {
    let reference = try ImageReference(parsing: "127.0.0.1:5000/app:1@\(Self.digest)")
    #expect(reference.tag == "1")
    #expect(reference.target == Self.digest)
    #expect(reference.description == "127.0.0.1:5000/app:1@\(Self.digest)")
  }

  @Test(arguments: [("127.0.0.1:5000/a", "127.0.0.1"), ("[::1]:5000/a", "::1"), ("busybox", "docker.io"), ("localhost:1/a", "localhost")])
  func theHostIsTheRegistryWithoutItsPort(_ text: String, _ host: String) throws {
    #expect(try ImageReference(parsing: text).host == host)
  }

  @Test(arguments: [
    "", " ", "Busybox", "team/App", "a.b/Team/app", "app:", "app:-x", "app:.x", "app:with space", "app:" + String(repeating: "x", count: 129), "app:a/b",
    "app@", "app@sha256:12", "app@md5:" + String(repeating: "a", count: 32), "app@" + digest.uppercased(), "/app", "app/", "a//b", "a.b//c", "-app", "app-",
    "a..b",
    "a.b/a___b", "a.b/a._b", "a.b/_a", "../etc/passwd", "a.b/../c", "http://a.b/c", "a.b:/c", "a.b:0/c", "a.b:99999/c", "a.b:x/c", "a.b:1:2/c", "user@a.b/c",
    "-a.b/c", "a-.b/c", "a..b/c", "[::1/c", "[]:5/c", "[xyz::]:5/c", "[::1]x/c", "app\n", "app\u{0}", "äpp", "a.b/ä",
    String(repeating: "ab", count: 32), "a.b/" + String(repeating: "x", count: 256),
  ]) func whatIsNoNameIsRefusedAndTheErrorNamesIt(_ text: String) {
    let error = #expect(throws: ContainerdError.self) { try ImageReference(parsing: text) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("image reference \"\(text)\"") == true)
  }

  @Test func upperCaseInARepositoryIsSaidToBeThat() {
    let error = #expect(throws: ContainerdError.self) { try ImageReference(parsing: "127.0.0.1:5000/Team/app") }
    #expect(error?.message.contains("must be lower-case") == true)
  }
}
