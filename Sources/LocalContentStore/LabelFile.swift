import Protocols

/// Labels as a file: one `key=value` line each, with `\n`, `\=` and `\\` escaped. Sorted, so that equal labels are equal bytes.
enum LabelFile {
  static func encode(_ labels: Labels) -> [UInt8] {
    var text = ""
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) { text += escape(key) + "=" + escape(value) + "\n" }
    return Array(text.utf8)
  }

  static func decode(_ bytes: [UInt8]) throws -> Labels {
    var labels: Labels = [:]
    var fields = ["", ""]
    var field = 0
    var escaped = false
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      if escaped {
        fields[field].unicodeScalars.append(scalar == "n" ? "\n" : scalar)
        escaped = false
      } else {
        switch scalar {
        case "\\": escaped = true
        case "=" where field == 0: field = 1
        case "\n":
          if field == 1 { labels[fields[0]] = fields[1] }
          fields = ["", ""]
          field = 0
        default: fields[field].unicodeScalars.append(scalar)
        }
      }
    }
    return labels
  }

  private static func escape(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "=": result += "\\="
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
