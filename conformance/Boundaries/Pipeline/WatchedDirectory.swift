import CLinux
import ConformanceSuites
import Glibc
import SystemKit

/// What is opened, read, made or removed in a directory and below it while it is watched. Blocking.
final class WatchedDirectory: Sendable {
  private let descriptor: Int32
  private let places: [Int32: String]
  private static let interesting = UInt32(
    IN_OPEN | IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

  init(_ roots: [String]) throws {
    descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    if descriptor < 0 { throw SystemError.last("inotify_init1", roots.first ?? "") }
    var places: [Int32: String] = [:]
    // All names first: reading a directory that is watched already would be seen.
    for place in try roots.flatMap(Self.directories) {
      let watch = inotify_add_watch(descriptor, place, Self.interesting)
      if watch < 0 {
        let error = SystemError.last("inotify_add_watch", place)
        close(descriptor)
        throw error
      }
      places[watch] = place
    }
    self.places = places
  }
  deinit { close(descriptor) }

  private static func directories(_ root: String) throws -> [String] {
    var info = stat()
    guard lstat(root, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else { return [] }
    return try [root] + Files.names(in: root).sorted().flatMap { try directories("\(root)/\($0)") }
  }

  /// What was seen since the last time, as sentences.
  func seen() throws -> [String] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    var found: [String] = []
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 {
        if errno == EAGAIN { return found }
        if errno == EINTR { continue }
        throw SystemError.last("read", "inotify")
      }
      var offset = 0
      let size = MemoryLayout<inotify_event>.size
      while offset + size <= count {
        let event = buffer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: inotify_event.self) }
        let name = String(decoding: buffer[(offset + size)..<(offset + size + Int(event.len))].prefix { $0 != 0 }, as: UTF8.self)
        offset += size + Int(event.len)
        found.append("\(places[event.wd] ?? "?")\(name.isEmpty ? "" : "/" + name) was \(Self.word(event.mask))")
      }
    }
  }

  private static func word(_ mask: UInt32) -> String {
    let words: [(Int32, String)] = [
      (IN_OPEN, "opened"), (IN_ACCESS, "read"), (IN_MODIFY, "written"), (IN_ATTRIB, "changed"), (IN_CREATE, "made"), (IN_DELETE, "removed"),
      (IN_MOVED_FROM, "moved away"), (IN_MOVED_TO, "moved here"),
    ]
    return words.first { mask & UInt32($0.0) != 0 }?.1 ?? "touched (\(mask))"
  }
}
