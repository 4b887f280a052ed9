import LinuxRuntime
import SystemKit

/// Where the runtime keeps a container's state, noted in the bundle: `delete` is told the bundle only.
enum StateRoot {
  private static func file(_ bundle: String) -> String { bundle + "/runtime-root" }

  static func write(_ root: String, bundle: String) throws(ServiceError) {
    guard root.hasPrefix("/") else { throw ServiceError(.invalidArgument, "options of the runtime: root \"\(root)\" is not an absolute path") }
    do { try Files.writeAtomically(Array(root.utf8), to: file(bundle)) } catch { throw ServiceError(.unknown, "note the runtime's root: \(error)") }
  }

  /// Nil when no container was asked for yet.
  static func read(bundle: String) -> String? {
    guard let bytes = try? Files.read(file(bundle), limit: 4096), !bytes.isEmpty else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
