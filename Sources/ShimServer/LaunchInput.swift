import CLinux
import ShimWire

/// What a daemon writes to the standard input of the shim's commands: nothing, the runtime's options as an Any, or
/// BootstrapParams with the options among its extensions. The bytes do not say which: parameters are recognised by naming
/// this very container.
enum LaunchInput {
  /// More than any options need.
  private static let limit = 4 << 20

  static func read() throws(ServiceError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = CLinux.read(0, &chunk, chunk.count)
      if count < 0, clinux_errno() == EINTR { continue }
      // A standard input that cannot be read is as good as none.
      if count <= 0 { return bytes }
      bytes += chunk[0..<count]
      guard bytes.count <= limit else { throw ServiceError(.invalidArgument, "standard input: more than \(limit) bytes of options") }
    }
  }

  /// The options, if there are any this runtime knows.
  static func options(_ input: [UInt8], namespace: String, id: String) throws(ServiceError) -> RuntimeOptions? {
    if let parameters = try? BootstrapParams(wire: input), parameters.instanceID == id, parameters.namespace == namespace {
      for case let value? in parameters.extensions.map(\.value) {
        if let options = try self.options(value) { return options }
      }
      return nil
    }
    guard let any = try? WireAny(wire: input) else { throw ServiceError(.invalidArgument, "standard input: neither options nor parameters of the runtime") }
    return try options(any)
  }

  /// Options of another kind are another runtime's, or a configuration's path that means nothing here.
  static func options(_ any: WireAny?) throws(ServiceError) -> RuntimeOptions? {
    guard let any, any.typeURL.split(separator: "/").last.map(String.init) == RuntimeOptions.typeURL else { return nil }
    do { return try RuntimeOptions(wire: any.value) } catch { throw ServiceError(.invalidArgument, "options of the runtime: malformed message: \(error)") }
  }
}
