import Foundation
import Protocols

/// containerd's `certs.d`: for each registry a directory with a `hosts.toml`, and `_default` for the others. Blocking; it reads at each question, so that what is
/// changed there needs no restart.
public struct HostsDirectory: Sendable {
  public let path: String

  public init(path: String) { self.path = path }

  /// Nil where nothing is configured for the registry. `invalidArgument` and `notImplemented` name the file and the field.
  public func file(for registry: String) throws(ContainerdError) -> HostsFile? {
    for directory in Self.names(registry) {
      let folder = "\(path)/\(directory)"
      let file = "\(folder)/hosts.toml"
      guard FileManager.default.fileExists(atPath: file) else { continue }
      let text: String
      do { text = try String(contentsOfFile: file, encoding: .utf8) } catch {
        throw ContainerdError.unavailable("\(file) cannot be read: \(error.localizedDescription)")
      }
      do throws(ContainerdError) { return try HostsFile(toml: text, registry: registry, directory: folder) } catch {
        throw ContainerdError(error.code, "\(file): \(error.message)")
      }
    }
    return nil
  }

  /// A name with a port is looked for without a colon first, which not every file system takes.
  static func names(_ registry: String) -> [String] {
    // What comes from an image's name has passed its grammar; a path that leads out of the directory would not have.
    guard !registry.contains("/"), !registry.hasPrefix(".") else { return [] }
    var names = [registry, "_default"]
    if let colon = registry.lastIndex(of: ":"), !registry[colon...].contains("]") {
      names.insert("\(registry[..<colon])_\(registry[registry.index(after: colon)...])_", at: 0)
    }
    return names
  }
}
