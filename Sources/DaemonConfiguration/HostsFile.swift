import Foundation
import Protocols
import TOMLKit

/// A `hosts.toml` of containerd's: `server`, and a table for each mirror, in the order in which the file has them.
public struct HostsFile: Hashable, Sendable {
  public var hosts: RegistryHosts
  /// What was read and changes nothing, in sentences.
  public var warnings: [String] = []

  /// `directory` is where relative names of files begin.
  public init(toml text: String, registry: String, directory: String) throws(ContainerdError) {
    let table: TOMLTable
    do { table = try TOMLTable(string: text) } catch let error as TOMLParseError {
      throw ContainerdError.invalidArgument("line \(error.source.begin.line): \(error.description)")
    } catch { throw ContainerdError.invalidArgument("\(error)") }
    let document = Section(table)
    hosts = RegistryHosts()
    // What stands outside of the tables is about the registry itself.
    let address = document.keys.contains("server") ? try document.text("server") : registry == "docker.io" ? "registry-1.docker.io" : registry
    let server = try host(document, address, directory, besides: ["server", "host"])
    if document.keys.contains(where: { $0 != "host" }) { hosts.server = server }
    guard document.keys.contains("host") else { return }
    let mirrors = try document.section("host")
    for name in Self.inOrder(mirrors.keys, text) { hosts.mirrors.append(try host(mirrors.section(name), name, directory, besides: [])) }
  }

  private mutating func host(_ section: Section, _ address: String, _ directory: String, besides known: Set<String>) throws(ContainerdError) -> RegistryHost {
    guard Self.isAddress(address) else {
      throw ContainerdError.invalidArgument("host \"\(address)\" must be an address like \"https://mirror.example:5000\"")
    }
    var host = RegistryHost(address: address)
    for key in section.keys where !known.contains(key) {
      switch key {
      case "capabilities":
        host.capabilities = []
        for name in try section.texts(key) {
          if let capability = RegistryHost.Capability(rawValue: name) {
            host.capabilities.insert(capability)
          } else if name != "referrers" {
            throw section.wrong(key, "\"\(name)\" is none of pull, resolve, push")
          }
        }
      case "skip_verify": host.skipsVerification = try section.flag(key)
      case "override_path": host.isWholePath = try section.flag(key)
      case "ca":
        host.authorities = try section.texts(key).map { $0.hasPrefix("/") ? $0 : "\(directory)/\($0)" }
        for file in host.authorities where !FileManager.default.isReadableFile(atPath: file) { throw section.wrong(key, "there is no file \(file)") }
      case "dial_timeout": warnings.append("\(section.name(key)) changes nothing here")
      case "client", "header": throw ContainerdError.notImplemented("\(section.name(key))")
      default: throw ContainerdError.invalidArgument("unknown field \(section.name(key))")
      }
    }
    return host
  }

  private static func isAddress(_ text: String) -> Bool {
    if text.isEmpty || text.unicodeScalars.contains(where: { $0.value <= 0x20 || $0 == "@" }) { return false }
    guard let mark = text.range(of: "://") else { return true }
    return ["http", "https"].contains(text[..<mark.lowerBound].lowercased()) && mark.upperBound < text.endIndex
  }

  /// The reader of TOML gives keys in their own order, but mirrors are tried in the file's: headers of tables first, then what is written inline.
  static func inOrder(_ names: [String], _ text: String) -> [String] {
    let lines = text.split(whereSeparator: \.isNewline).map { line in line.trimmingCharacters(in: .whitespaces) }.filter { !$0.hasPrefix("#") }
    func place(_ name: String) -> Int {
      func mentions(_ line: String) -> Bool { line.contains("\"\(name)\"") || line.contains("'\(name)'") }
      if let header = lines.firstIndex(where: { $0.hasPrefix("[") && mentions($0) }) { return header }
      return lines.firstIndex { !$0.hasPrefix("server") && mentions($0) } ?? lines.count
    }
    let places: [String: Int] = Dictionary(uniqueKeysWithValues: names.map { ($0, place($0)) })
    return names.sorted { left, right in
      let (first, second) = (places[left] ?? 0, places[right] ?? 0)
      return first == second ? left < right : first < second
    }
  }
}
