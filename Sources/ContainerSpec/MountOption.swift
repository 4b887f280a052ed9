import Protocols

extension SpecMount {
  /// Reads `type=bind,src=/tmp,dst=/host,options=rbind:ro`. `invalidArgument` says what is wrong with it.
  public init(parsing text: String) throws(ContainerdError) {
    self.init(destination: "", type: "", source: "", options: [])
    for field in text.split(separator: ",") {
      let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw .invalidArgument("mount \"\(text)\": \"\(field)\" is not KEY=VALUE") }
      switch parts[0] {
      case "type": type = parts[1]
      case "source", "src": source = parts[1]
      case "destination", "dst", "target": destination = parts[1]
      case "options": options = parts[1].split(separator: ":").map(String.init)
      default: throw .invalidArgument("mount \"\(text)\": unknown key \"\(parts[0])\"; there are type, src, dst and options")
      }
    }
    guard destination.hasPrefix("/") else { throw .invalidArgument("mount \"\(text)\": dst= must be an absolute path") }
  }
}
