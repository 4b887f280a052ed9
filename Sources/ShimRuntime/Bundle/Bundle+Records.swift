import CLinux
import FoundationEssentials
import Protocols
import SystemKit

/// What the daemon notes in a bundle for the daemon after it.
extension Bundle {
  private var shimMarker: String { path + "/shim-binary-path" }
  private var addressFile: String { path + "/address" }
  private var bootstrapFile: String { path + "/bootstrap.json" }
  private var exitFile: String { path + "/exit.json" }

  /// The longest of these files is a path or an address.
  private static let limit = 64 << 10

  func write(shim: String) throws(SystemError) {
    try Files.writeAtomically(Array(shim.utf8), to: shimMarker)
  }

  func shim() throws(SystemError) -> String? { try text(shimMarker) }

  func write(_ endpoint: ShimEndpoint) throws {
    if endpoint.version != 2 {
      let json = try JSONEncoder().encode(endpoint)
      try Files.writeAtomically(Array(json), to: bootstrapFile)
    }
    try Files.writeAtomically(Array(endpoint.address.utf8), to: addressFile)
  }

  /// Nil if no shim was ever reached.
  func endpoint() throws -> ShimEndpoint? {
    if let json = try text(bootstrapFile) { return try LaunchReply.parse(Array(json.utf8)) }
    if let address = try text(addressFile) { return try LaunchReply.parse(Array(address.utf8)) }
    return nil
  }

  func write(exit: ExitStatus) throws {
    let record = ExitRecord(pid: exit.pid, code: exit.code, seconds: exit.exitedAt.seconds, nanoseconds: exit.exitedAt.nanoseconds)
    try Files.writeAtomically(Array(JSONEncoder().encode(record)), to: exitFile)
  }

  func exit() throws -> ExitStatus? {
    guard let json = try text(exitFile) else { return nil }
    let record = try JSONDecoder().decode(ExitRecord.self, from: Bytes.data(Array(json.utf8)))
    return ExitStatus(pid: record.pid, code: record.code, exitedAt: Timestamp(seconds: record.seconds, nanoseconds: record.nanoseconds))
  }

  private struct ExitRecord: Codable {
    var pid: UInt32
    var code: UInt32
    var seconds: Int64
    var nanoseconds: Int32
  }

  private func text(_ file: String) throws(SystemError) -> String? {
    do throws(SystemError) {
      let text = String(decoding: try Files.read(file, limit: Self.limit), as: UTF8.self)
      return text.isEmpty ? nil : text
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
  }
}
