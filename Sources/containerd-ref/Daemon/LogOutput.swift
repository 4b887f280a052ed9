import CLinux
import Foundation
import Logging
import Protocols

/// Log lines on standard error, one write each: as `key=value` text, or as JSON, with containerd's names for what both have.
struct LogOutput: LogHandler {
  enum Format: String { case text, json }

  let format: Format
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?
  private let write: @Sendable (String) -> Void

  init(format: Format, level: Logger.Level, write: @escaping @Sendable (String) -> Void = { Output.error($0) }) {
    self.format = format
    self.logLevel = level
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var fields = metadata
    if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
    if let own = event.metadata { fields.merge(own) { $1 } }
    let ordered = fields.sorted { $0.key < $1.key }.map { (Self.reserved.contains($0.key) ? "fields.\($0.key)" : $0.key, "\($0.value)") }
    let head = [("time", Timestamp.now().description), ("level", Self.name(of: event.level)), ("msg", event.message.description)]
    switch format {
    case .text: write((head + ordered).map { "\($0)=\(Self.word($1))" }.joined(separator: " ") + "\n")
    case .json: write("{" + (head + ordered).map { "\(Self.quoted($0)):\(Self.quoted($1))" }.joined(separator: ",") + "}\n")
    }
  }

  private static let reserved: Set<String> = ["time", "level", "msg"]

  private static func name(of level: Logger.Level) -> String {
    switch level {
    case .trace: "trace"
    case .debug: "debug"
    case .info, .notice: "info"
    case .warning: "warning"
    case .error: "error"
    case .critical: "fatal"
    }
  }

  /// As it is where nothing in it could be taken for something else, else quoted.
  private static func word(_ text: String) -> String {
    let plain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }
    return plain ? text : quoted(text)
  }

  /// A JSON string; also how text with blanks is quoted.
  static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\r": quoted += "\\r"
      case "\t": quoted += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f: quoted += String(format: "\\u%04x", scalar.value)
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
