import LinuxRuntime
import ShimWire

/// `-info`: what the runtime is and can do.
enum InfoCommand {
  private static let featuresType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

  static func run() throws(ServiceError) {
    let input = try LaunchInput.read()
    let options = input.isEmpty ? nil : try? WireAny(wire: input)
    let info = RuntimeInfo(
      name: "io.containerd.ref.v2", version: RuntimeVersion(version: Shim.version), options: options,
      features: WireAny(typeURL: featuresType, value: Features.json.serialized()))
    Output.write(info.encoded)
  }
}
