import FoundationEssentials
import Protocols

/// A further process in a container: the container's own process with another program.
///
/// What the container's spec says and we do not know is kept as it is: who made the container had a reason.
public struct ExecProcess: Sendable {
  public var arguments: [String]
  public var terminal = false
  public var workingDirectory: String?
  public var environment: [String] = []
  public var user: SpecUser?

  public init(arguments: [String]) { self.arguments = arguments }

  /// The process for a container with this spec. `invalidArgument` if the spec has no process.
  public func packed(in spec: TypedValue) throws(ContainerdError) -> TypedValue {
    guard case .object(let whole)? = try? JSONDecoder().decode(JSONValue.self, from: Data(spec.value)), case .object(var process)? = whole["process"] else {
      throw .invalidArgument("the container's spec has no process to start from")
    }
    if let workingDirectory, !workingDirectory.hasPrefix("/") { throw .invalidArgument("working directory \"\(workingDirectory)\" is not an absolute path") }
    process["args"] = .strings(arguments)
    process["terminal"] = terminal ? .bool(true) : nil
    process["consoleSize"] = nil
    if let workingDirectory { process["cwd"] = .string(workingDirectory) }
    var variables = process["env"]?.texts ?? []
    if terminal && !variables.contains(where: { $0.hasPrefix("TERM=") }) { variables.append("TERM=xterm") }
    for entry in environment { RuntimeSpec.set(entry, in: &variables) }
    process["env"] = .strings(variables)
    if let user {
      process["user"] = .object([
        "uid": .integer(Int64(user.uid)), "gid": .integer(Int64(user.gid)), "additionalGids": .array(user.additionalGids.map { .integer(Int64($0)) }),
      ])
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return TypedValue(typeURL: RuntimeSpec.processTypeURL, value: [UInt8](try encoder.encode(JSONValue.object(process)))) } catch {
      throw .internalError("encode the process: \(error)")
    }
  }
}
