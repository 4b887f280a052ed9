/// The command line of a shim, as Go's flag package takes it: `-name value`, `-name=value`, one or two dashes.
struct ShimArguments {
  var namespace = ""
  var id = ""
  var address = ""
  var publishBinary = ""
  var bundle = ""
  /// Where the server listens; only between `start` and its server.
  var socket = ""
  var debug = false
  var version = false
  var info = false
  var action = ""

  /// Nil when it cannot be understood.
  init?(_ words: [String]) {
    var rest = words[...]
    while let word = rest.popFirst() {
      guard word.hasPrefix("-") else {
        action = word
        // Options end at the action.
        return
      }
      let body = word.drop { $0 == "-" }
      let equals = body.firstIndex(of: "=")
      let name = String(equals.map { body[..<$0] } ?? body)
      let given = equals.map { String(body[body.index(after: $0)...]) }
      switch name {
      case "debug": debug = given.map { $0 == "true" || $0 == "1" } ?? true
      case "v", "version": version = true
      case "info": info = true
      case "namespace", "id", "address", "publish-binary", "bundle", "socket":
        guard let value = given ?? rest.popFirst() else { return nil }
        switch name {
        case "namespace": namespace = value
        case "id": id = value
        case "address": address = value
        case "publish-binary": publishBinary = value
        case "bundle": bundle = value
        default: socket = value
        }
      default: return nil
      }
    }
  }

  var words: [String] {
    ["-namespace", namespace, "-address", address, "-publish-binary", publishBinary, "-id", id, "-bundle", bundle] + (debug ? ["-debug"] : [])
  }
}
