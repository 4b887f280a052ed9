import EmbeddedRegistry
import Foundation
import Protocols
import RegistryFetcher
import TestSupport
import Testing

/// Serialized: the helpers are found through the process's PATH.
@Suite(.serialized) struct DockerConfigTests {
  let scratch = ScratchDirectory("ref-docker-config")
  var path: String { "\(scratch.path)/config.json" }

  private func config(_ text: String, timeout: Duration = .seconds(20)) throws -> DockerConfig {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    return DockerConfig(path: path, helperTimeout: timeout)
  }

  private func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

  /// A helper of this name in PATH: a shell script.
  private func helper(_ name: String, _ script: String) throws {
    let file = "\(scratch.path)/docker-credential-\(name)"
    try Data("#!/bin/sh\n\(script)\n".utf8).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
    setenv("PATH", "\(scratch.path):/usr/bin:/bin", 1)
  }

  @Test(arguments: [
    ("docker.io", "hub"), ("registry.example", "plain"), ("registry.example:5000", "port"), ("old.example", "versioned"), ("upper.example", "case"),
    ("names.example", "fields"),
  ]) func anEntryIsFoundByItsRegistry(_ registry: String, _ user: String) async throws {
    let config = try config(
      """
      {"auths": {
        "https://index.docker.io/v1/": {"auth": "\(base64("hub:a:b"))"},
        "registry.example": {"auth": "\(base64("plain:a:b"))"},
        "registry.example:5000": {"auth": "\(base64("port:a:b"))"},
        "https://old.example/v2/": {"auth": "\(base64("versioned:a:b"))"},
        "UPPER.example": {"auth": "\(base64("case:a:b"))"},
        "names.example": {"username": "fields", "password": "a:b"},
        "part.example/team": {"auth": "\(base64("part:a:b"))"}
      }, "detachKeys": "ctrl-x"}
      """)
    #expect(try await config.credentials(for: registry) == .init(user: user, password: "a:b"))
    #expect(try await config.credentials(for: "part.example") == nil, "a part of a registry is not the registry")
    #expect(try await config.credentials(for: "unknown.example") == nil)
  }

  @Test func anIdentityTokenGoesBeforeTheName() async throws {
    let config = try config("{\"auths\": {\"a.example\": {\"auth\": \"\(base64("00000000-0000:"))\", \"identitytoken\": \"long\"}}}")
    #expect(try await config.credentials(for: "a.example") == .init(identityToken: "long"))
  }

  @Test func theFileIsReadAgainAtEveryQuestion() async throws {
    let config = DockerConfig(path: path)
    #expect(try await config.credentials(for: "a.example") == nil, "no file, no credentials")
    for password in ["one", "two"] {
      _ = try self.config("{\"auths\": {\"a.example\": {\"auth\": \"\(base64("me:\(password)"))\"}}}")
      #expect(try await config.credentials(for: "a.example") == .init(user: "me", password: password))
    }
    _ = try self.config("{}")
    #expect(try await config.credentials(for: "a.example") == nil)
  }

  @Test(arguments: [
    ("{", "config.json"), ("[]", "config.json"), ("{\"auths\": {\"a.example\": {\"auth\": 5}}}", "auths.a.example.auth"),
    ("{\"auths\": {\"a.example\": {\"auth\": \"!!\"}}}", "auths"),
    ("{\"auths\": {\"a.example\": {\"auth\": \"bm9jb2xvbnNlY3JldA==\"}}}", "auths"), ("{\"auths\": \"nocolonsecret\"}", "auths"),
    ("{\"credHelpers\": {\"a.example\": \"../bin/sh\"}}", "../bin/sh"),
  ]) func whatIsWrongInTheFileIsNamedAndNeverQuoted(_ text: String, _ place: String) async throws {
    let config = try config(text)
    let error = try await failure { try await config.credentials(for: "a.example") }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains(path) && error.message.contains(place))
    #expect(!error.message.contains("nocolonsecret") && !error.message.contains("bm9jb2xv"))
  }

  @Test func aHelperIsAskedForItsRegistryAndTheStoreForTheRest() async throws {
    try helper(
      "mine",
      """
      read server
      test "$1" = get || exit 9
      echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"
      """)
    try helper(
      "store",
      """
      read server
      case $server in
        https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"identity"}' ;;
        *) echo credentials not found in native keychain; exit 1 ;;
      esac
      """)
    let config = try config(
      """
      {"credHelpers": {"a.example": "mine"}, "credsStore": "store",
        "auths": {"a.example": {"auth": "\(base64("file:f"))"}, "b.example": {"auth": "\(base64("file:f"))"}}}
      """)
    #expect(try await config.credentials(for: "a.example") == .init(user: "a.example", password: "s"))
    #expect(try await config.credentials(for: "docker.io") == .init(identityToken: "identity"))
    #expect(try await config.credentials(for: "b.example") == .init(user: "file", password: "f"), "what the store does not know may stand in the file")
    #expect(try await config.credentials(for: "c.example") == nil)
  }

  @Test func aHelperThatIsNotInstalledIsNamed() async throws {
    let config = try config("{\"credHelpers\": {\"a.example\": \"nobody-has-this\"}}")
    let error = try await failure { try await config.credentials(for: "a.example") }
    #expect(error.code == .notFound)
    #expect(error.message.contains("docker-credential-nobody-has-this") && error.message.contains(path))
    #expect(try await config.credentials(for: "b.example") == nil, "others need no helper")
  }

  @Test(arguments: ["echo hidden secret; exit 3", "echo hidden", "echo '{\"Username\":\"hidden\"}'", "head -c 2000000 /dev/zero", "kill -9 $$"])
  func aHelperThatFailsIsNamedAndNotQuoted(_ script: String) async throws {
    try helper("failing", script)
    let config = try config("{\"credHelpers\": {\"a.example\": \"failing\"}}")
    let error = try await failure { try await config.credentials(for: "a.example") }
    #expect(error.code == .unavailable || error.code == .resourceExhausted)
    #expect(error.message.contains("docker-credential-failing") && !error.message.contains("hidden"))
  }

  @Test func aHelperThatDoesNotAnswerIsEnded() async throws {
    try helper("slow", "sleep 77.25 & echo $$ > \(scratch.path)/pid; wait")
    let config = try config("{\"credHelpers\": {\"a.example\": \"slow\"}}", timeout: .seconds(2))
    let began = ContinuousClock.now
    let error = try await failure { try await config.credentials(for: "a.example") }
    #expect(error.code == .deadlineExceeded)
    #expect(error.message.contains("docker-credential-slow"))
    #expect(ContinuousClock.now - began < .seconds(20))
    let group = try #require(Int32(String(contentsOfFile: "\(scratch.path)/pid", encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)))
    // What it has started goes with it; init may take a moment to bury it.
    var remains = true
    for _ in 0..<200 where remains {
      remains = kill(-group, 0) == 0
      if remains { try await Task.sleep(for: .milliseconds(20)) }
    }
    #expect(!remains)
  }

  @Test func aPullUsesIt() async throws {
    try await Scene.with(CredentialTests.closed) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      let config = try config("{\"auths\": {\"\(scene.registry.address)\": {\"auth\": \"\(base64("me:secret"))\"}}}")
      let resolver = RegistryResolver(configuration: .init(credentials: config.source))
      #expect(try await resolver.resolve(image.reference).target == image.manifest)
      try await resolver.close()
    }
  }

  @Test func theStandardPlaceIsDockers() {
    #expect(DockerConfig.standardPath(["DOCKER_CONFIG": "/d", "HOME": "/h"]) == "/d/config.json")
    #expect(DockerConfig.standardPath(["DOCKER_CONFIG": "", "HOME": "/h"]) == "/h/.docker/config.json")
    #expect(DockerConfig.standardPath([:]) == nil)
  }
}
