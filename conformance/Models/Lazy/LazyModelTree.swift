import ConformanceSuites

/// Where the files of a stack of layers lie in their archives: regular files alone, with what upper layers take away.
struct LazyModelTree: Sendable {
  struct File: Sendable {
    var layer: Int
    /// Of the archive.
    var range: Range<Int>
  }
  private(set) var files: [String: File] = [:]

  init(_ layers: some Collection<[UInt8]>) {
    for (number, archive) in layers.enumerated() {
      var place = 0
      var own: [String: File] = [:]
      for record in TarRecord.records(of: archive) {
        let start = place + 512
        place = start + (record.contents.count + 511) / 512 * 512
        let parts = record.name.split(separator: "/").map(String.init)
        let directory = parts.dropLast().joined(separator: "/")
        guard let name = parts.last else { continue }
        if name == ".wh..wh..opq" {
          files = files.filter { !$0.key.hasPrefix(directory + "/") }
        } else if name.hasPrefix(".wh.") {
          files[(parts.dropLast() + [String(name.dropFirst(4))]).joined(separator: "/")] = nil
        } else if record.type == "1" {
          own[record.name] = own[record.link] ?? files[record.link]
        } else if record.type == "0" {
          own[record.name] = File(layer: number, range: start..<start + record.contents.count)
        }
      }
      files.merge(own) { $1 }
    }
  }
}
