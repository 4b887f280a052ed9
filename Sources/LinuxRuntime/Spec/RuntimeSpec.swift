/// A parsed OCI `config.json`.
public struct RuntimeSpec: Sendable {
  public var process: ProcessSpec?
  public init(json bytes: [UInt8]) throws(RuntimeError) { fatalError("being written") }
}
/// The `process` object of a configuration, also used alone for `exec`.
public struct ProcessSpec: Sendable {
  public var terminal = false
  public init(json bytes: [UInt8]) throws(RuntimeError) { fatalError("being written") }
}
