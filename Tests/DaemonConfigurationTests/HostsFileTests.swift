import DaemonConfiguration
import Foundation
import Protocols
import Testing

@Suite struct HostsFileTests {
  private func read(_ text: String, registry: String = "docker.io") throws -> HostsFile { try HostsFile(toml: text, registry: registry, directory: "/etc") }

  @Test func aFileOfContainerdsDocumentationIsRead() throws {
    let file = try read(
      """
      server = "https://b.example"

      # [host."https://a.example"] is tried last
      [host."https://z.example"]
        capabilities = ["pull", "resolve"]
        skip_verify = true
      [host."https://b.example/team/v2"]
        capabilities = ["pull"]
        override_path = true
        ca = ["passwd", "/etc/group"]
      [host.'http://a.example:5000']
        ca = "/etc/passwd"
      """)
    #expect(
      file.hosts
        == RegistryHosts(
          mirrors: [
            RegistryHost(address: "https://z.example", capabilities: [.pull, .resolve], skipsVerification: true),
            RegistryHost(address: "https://b.example/team/v2", capabilities: [.pull], authorities: ["/etc/passwd", "/etc/group"], isWholePath: true),
            RegistryHost(address: "http://a.example:5000", authorities: ["/etc/passwd"]),
          ], server: RegistryHost(address: "https://b.example")))
    #expect(file.warnings.isEmpty)
  }

  @Test func mirrorsMayBeWrittenInline() throws {
    let file = try read("[host]\n\"https://b.example\" = {capabilities = [\"pull\"]}\n\"https://a.example\" = {}\n")
    #expect(file.hosts.mirrors.map(\.address) == ["https://b.example", "https://a.example"])
    #expect(file.hosts.server == nil)
  }

  @Test func whatStandsOutsideIsAboutTheRegistryItself() throws {
    #expect(try read("ca = \"passwd\"", registry: "r.example:5000").hosts.server == RegistryHost(address: "r.example:5000", authorities: ["/etc/passwd"]))
    #expect(try read("skip_verify = true").hosts.server == RegistryHost(address: "registry-1.docker.io", skipsVerification: true))
    #expect(try read("").hosts == RegistryHosts())
  }

  @Test func whatHasNoMeaningHereIsAWarning() throws {
    #expect(try read("[host.\"https://a.example\"]\ndial_timeout = \"1s\"").warnings == ["host.\"https://a.example\".dial_timeout changes nothing here"])
  }

  @Test(arguments: [
    ("server = 5", "server"), ("[host.\"https://a.example\"]\ncapabilities = [\"fly\"]", "fly"),
    ("[host.\"https://a.example\"]\nskip_verify = \"yes\"", "skip_verify"),
    ("[host.\"https://a.example\"]\nca = \"absent.pem\"", "/etc/absent.pem"), ("[host.\"ftp://a.example\"]", "ftp://a.example"),
    ("[host.\"https://\"]", "https://"),
    ("[host.\"https://user@a.example\"]", "user@"), ("[host.\"https://a.example\"]\ncapability = []", "capability"), ("host = 1", "host"), ("[", "line 1"),
    ("[host.\"https://a.example\"]\nca = [1]", "ca"), ("servr = \"https://a.example\"", "servr"),
  ]) func whatIsWrongIsNamed(_ text: String, _ name: String) throws {
    let error = try #require(throws: ContainerdError.self) { try read(text) }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains(name), "\(error.message)")
  }

  @Test(arguments: ["client = \"a.pem\"", "[host.\"https://a.example\".header]\nx = \"y\""]) func whatWouldBeMissedIsRefused(_ text: String) throws {
    #expect(try #require(throws: ContainerdError.self) { try read(text) }.code == .notImplemented)
  }

  @Test func theDirectoryIsSearchedAsContainerdDoes() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("ref-hosts-\(UUID())")
    defer { try? FileManager.default.removeItem(at: root) }
    func put(_ name: String, _ server: String) throws {
      let folder = root.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data("server = \"https://\(server)\"".utf8).write(to: folder.appendingPathComponent("hosts.toml"))
    }
    let directory = HostsDirectory(path: root.path)
    #expect(try directory.file(for: "r.example") == nil)
    try put("_default", "default")
    try put("r.example", "plain")
    try put("r.example:5000", "colon")
    func server(_ registry: String) throws -> String? { try directory.file(for: registry)?.hosts.server?.address }
    #expect(try server("r.example") == "https://plain")
    #expect(try server("r.example:5000") == "https://colon")
    #expect(try server("other.example:5000") == "https://default")
    try put("r.example_5000_", "underscores")
    #expect(try server("r.example:5000") == "https://underscores")
    try Data("server = 1".utf8).write(to: root.appendingPathComponent("r.example/hosts.toml"))
    let error = try #require(throws: ContainerdError.self) { try directory.file(for: "r.example") }
    #expect(error.message.contains("\(root.path)/r.example/hosts.toml: server"))
    #expect(try directory.file(for: "../r.example") == nil)
  }
}
