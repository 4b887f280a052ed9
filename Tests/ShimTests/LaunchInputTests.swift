import ShimWire
import Testing

@testable import ShimServer

@Suite struct LaunchInputTests {
  private static let options: RuntimeOptions = {
    var options = RuntimeOptions()
    options.noPivotRoot = true
    options.noNewKeyring = true
    options.shimCgroup = "/shims"
    options.ioUID = 7
    options.ioGID = 8
    options.binaryName = "/bin/other"
    options.root = "/run/state"
    options.systemdCgroup = true
    return options
  }()
  private static let any = WireAny(typeURL: RuntimeOptions.typeURL, value: options.encoded)

  @Test func optionsComeBackAsTheyWere() throws {
    #expect(try RuntimeOptions(wire: Self.options.encoded) == Self.options)
  }

  @Test func nothingIsNoOptions() throws {
    #expect(try LaunchInput.options([], namespace: "n", id: "i") == nil)
  }

  @Test func optionsAloneAreRead() throws {
    #expect(try LaunchInput.options(Self.any.encoded, namespace: "n", id: "i") == Self.options)
    let other = WireAny(typeURL: "runtimeoptions.v1.Options", value: [1, 2, 3])
    #expect(try LaunchInput.options(other.encoded, namespace: "n", id: "i") == nil)
  }

  @Test func parametersOfThisContainerAreRead() throws {
    var parameters = BootstrapParams()
    parameters.instanceID = "i"
    parameters.namespace = "n"
    parameters.extensions = [BootstrapExtension(value: WireAny(typeURL: "other")), BootstrapExtension(value: Self.any)]
    #expect(try LaunchInput.options(parameters.encoded, namespace: "n", id: "i") == Self.options)
    parameters.extensions = []
    #expect(try LaunchInput.options(parameters.encoded, namespace: "n", id: "i") == nil)
  }

  @Test func noiseIsRefused() {
    #expect(throws: ServiceError.self) { try LaunchInput.options([0xFF, 0xFF], namespace: "n", id: "i") }
    let broken = WireAny(typeURL: RuntimeOptions.typeURL, value: [0x0A])
    #expect(throws: ServiceError.self) { try LaunchInput.options(broken.encoded, namespace: "n", id: "i") }
  }
}

@Suite struct StreamTargetTests {
  private func program(_ text: String) throws -> (String, [String])? {
    guard case .program(let path, let arguments) = try StreamTarget(text) else { return nil }
    return (path, arguments)
  }

  @Test func aProgramGetsItsArgumentsInOrder() throws {
    let target = try #require(try program("binary:///usr/bin/log%20it?--tag=a+b&id&x=%2Fy"))
    #expect(target.0 == "/usr/bin/log it")
    #expect(target.1 == ["--tag", "a b", "id", "", "x", "/y"])
  }

  @Test func filesAreDecodedToo() throws {
    guard case .file(let path) = try StreamTarget("file:///var/log/a%25b?max=3") else {
      Issue.record("no file")
      return
    }
    #expect(path == "/var/log/a%b")
  }

  @Test(arguments: ["binary://relative", "file://relative", "file:///a%2", "file:///a%zz", "file:///a%00b", "gopher:///x", "/no/such/fifo"])
  func whatCannotBeIsRefused(_ text: String) {
    #expect(throws: ServiceError.self) { try StreamTarget(text) }
  }
}
