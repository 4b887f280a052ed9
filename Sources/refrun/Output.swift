import Glibc

enum Output {
  static func line(_ text: String) { line(Array(text.utf8)) }

  static func line(_ bytes: [UInt8]) {
    let bytes = bytes + [0x0A]
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { write(1, $0.baseAddress! + done, bytes.count - done) }
      if count <= 0 { return }
      done += count
    }
  }
}
