import SystemKit

enum MountPoints {
  /// The mount point that a path lies on, from mountinfo.
  static func containing(_ path: String) throws(RuntimeError) -> String {
    let bytes = try during("find the mount of \(path)") { () throws(SystemError) in try Files.read("/proc/self/mountinfo") }
    var best = "/"
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: " ", maxSplits: 5)
      guard fields.count > 4 else { continue }
      let point = String(fields[4])
      if point.count > best.count, path == point || path.hasPrefix(point + "/") { best = point }
    }
    return best
  }
}
