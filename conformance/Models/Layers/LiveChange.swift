import ConformanceSuites
import ConformanceSystemSuites

/// A change that a running program makes to files. One that the tree does not allow changes nothing.
enum LiveChange: Hashable, Sendable, CustomStringConvertible {
  case write(String, Int)
  case makeDirectory(String)
  case remove(String)
  case rename(String, String)
  case link(String, String)
  case symbolicLink(String, String)
  case fifo(String)
  case mode(String, Int)
  case owner(String, Int, Int)
  case time(String, FileTime)
  case attribute(String, Int)

  var description: String {
    switch self {
    case .write(let path, let number): "write \(number) to \(Self.short(path))"
    case .makeDirectory(let path): "mkdir \(Self.short(path))"
    case .remove(let path): "rm -r \(Self.short(path))"
    case .rename(let old, let new): "mv \(Self.short(old)) \(Self.short(new))"
    case .link(let old, let new): "ln \(Self.short(old)) \(Self.short(new))"
    case .symbolicLink(let target, let path): "ln -s \(target) \(Self.short(path))"
    case .fifo(let path): "mkfifo \(Self.short(path))"
    case .mode(let path, let mode): "chmod \(String(mode, radix: 8)) \(Self.short(path))"
    case .owner(let path, let owner, let group): "chown -h \(owner):\(group) \(Self.short(path))"
    case .time(let path, let time): "touch -h -d @\(time) \(Self.short(path))"
    case .attribute(let path, let number): "setfattr -h -n trusted.note -v \(number) \(Self.short(path))"
    }
  }
  private static func short(_ path: String) -> String { path.utf8.count > 40 ? "\(path.prefix(20))…" : path }

  /// - Parameter names: what is there at first.
  static func draw(_ attempt: Attempt, _ names: [String]) -> LiveChange {
    let path = attempt.one(of: names + LayerPlan.paths)
    let other = attempt.one(of: LayerPlan.paths)
    let number = attempt.draw(10)
    let free = LayerPlan.paths.filter { !names.contains($0) }
    switch attempt.draw(16) {
    case 0...2: return .write(path, number)
    case 3: return .makeDirectory(path)
    case 4, 5: return .remove(path)
    case 6: return .rename(path, other)
    // Most often to a name that is not taken.
    case 7...10: return .link(path, number > 1 && !free.isEmpty ? attempt.one(of: free) : other)
    case 11: return .symbolicLink(["a", "../a", "nowhere"][number % 3], path)
    case 12: return .fifo(path)
    case 13: return .mode(path, [0o644, 0o600, 0o4755, 0o2711, 0o1777][number % 5])
    case 14: return number < 5 ? .owner(path, [0, 1000, 70_000][number % 3], number) : .attribute(path, number)
    default: return .time(path, [FileTime(1_000_000_000), FileTime(1_234_567_890, 123_456_789)][number % 2])
    }
  }

  func perform(_ place: Place, _ tree: any Tree) throws {
    switch self {
    case .write(let path, let number):
      // Into the file itself, not through a link or a FIFO, which would wait for a reader.
      let kind = place.stat(path)
      if kind.hasPrefix("file") || kind == "ENOENT" { place.write(path, String(decoding: FileChange.contents(number), as: UTF8.self)) }
    case .makeDirectory(let path): place.mkdir(path)
    case .remove(let path): if place.stat(path).contains(" ") { try tree.remove(path) }
    case .rename(let old, let new): place.rename(old, new)
    case .link(let old, let new): place.link(old, new)
    case .symbolicLink(let target, let path): place.symlink(target, path)
    case .fifo(let path): place.mknod(path, 0o010600)
    case .mode(let path, let mode): if !place.stat(path).hasPrefix("symbolic") { place.chmod(path, UInt32(mode)) }
    case .owner(let path, let owner, let group): place.chown(path, UInt32(owner), UInt32(group))
    case .time(let path, let time): place.setTimes(path, seconds: time.seconds, nanoseconds: time.nanoseconds)
    case .attribute(let path, let number): place.setAttribute(path, "trusted.note", bytes("\(number)"))
    }
  }
}
