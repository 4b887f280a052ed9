import CLinux

/// Walks a directory tree by descriptors, however deep it is and whatever its names are made of.
///
/// Every step is relative to an open directory and follows no link, so a tree deeper than PATH_MAX is no obstacle, and a rename while the walk is
/// on cannot lead it out of the tree: going up, the directory must be the one that it came down through. Descriptors do not pile up with
/// the depth. What is mounted below the root is never entered, not even a bind mount of the same file system.
public struct TreeWalk {
  public enum Decision: Sendable { case enter, leaveOut }

  /// One name in an open directory; valid during the visit only.
  public struct Entry {
    /// The directory's descriptor.
    public let directory: Int32
    public let name: UnsafePointer<CChar>
    /// What `readdir` says it is: `DT_DIR`, …, or `DT_UNKNOWN`.
    public let type: UInt8
    fileprivate let place: String

    /// For error messages; long ones are shortened in the middle.
    public var path: String { place + "/" + String(cString: name) }

    /// Gone, or no longer what it was, since its directory was read: something else is at work in the tree.
    public static func isRace(_ error: SystemError) -> Bool { [ENOENT, ENOTDIR, ELOOP].contains(error.errno) }
  }

  /// A directory that the walk is in or below.
  private struct Level {
    var name: [CChar]
    var device: dev_t
    var inode: ino_t
    var subdirectories: [[CChar]] = []
  }

  private let root: String
  private var levels: [Level] = []

  /// Visits everything below the directory `name` of `parent`, each entry before what is below it; `left` is called for an entered directory once
  /// its contents are done, and for the root. `entered` gets the root's own status. Blocking.
  ///
  /// `EXDEV` if the root itself is a mount point. An entered directory that turns out to be a mount point is offered to `mounted`.
  public static func walk(
    _ name: String, at parent: borrowing OwnedFD, path: String, entered: (stat) throws(SystemError) -> Void = { _ in },
    visit: (Entry) throws(SystemError) -> Decision, mounted: (Entry) throws(SystemError) -> Void,
    left: (Entry) throws(SystemError) -> Void = { _ in }
  ) throws(SystemError) {
    let start = Array(name.utf8CString)
    let above = parent.raw
    var walk = TreeWalk(root: path)
    var current = try open(start, at: above, path: path)
    let status = try Self.status(of: current, path: path)
    try entered(status)
    try walk.enter(current, start, status, visit)
    while let level = walk.levels.last {
      if let next = level.subdirectories.last {
        walk.levels[walk.levels.count - 1].subdirectories.removeLast()
        let child: OwnedFD
        do throws(SystemError) {
          child = try open(next, at: current.raw, path: walk.place)
        } catch let error where error.errno == EXDEV {
          try walk.withEntry(next, in: current.raw, mounted)
          continue
        } catch let error where Entry.isRace(error) { continue }
        let status = try Self.status(of: child, path: walk.place)
        current = child
        try walk.enter(current, next, status, visit)
      } else if walk.levels.count == 1 {
        walk.levels.removeLast()
        return try start.withUnsafeBufferPointer { buffer throws(SystemError) in
          guard let name = buffer.baseAddress else { return }
          try left(Entry(directory: above, name: name, type: UInt8(DT_DIR), place: Files.parent(of: path)))
        }
      } else {
        walk.levels.removeLast()
        current = try walk.goUp(from: current)
        try walk.withEntry(level.name, in: current.raw, left)
      }
    }
  }

  private static func open(_ name: [CChar], at directory: Int32, path: String) throws(SystemError) -> OwnedFD {
    let resolveNoCrossing: UInt64 = 1
    return OwnedFD(
      adopting: try check("open", "\(path) (\(String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)))") {
        clinux_openat2(directory, name, UInt64(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0, resolveNoCrossing)
      })
  }

  private static func status(of directory: borrowing OwnedFD, path: String) throws(SystemError) -> stat {
    var status = stat()
    let raw = directory.raw
    try check("fstat", path) { fstat(raw, &status) }
    return status
  }

  /// Lists the directory, then visits each entry: what the visit removes cannot disturb the listing.
  private mutating func enter(
    _ directory: borrowing OwnedFD, _ name: [CChar], _ status: stat, _ visit: (Entry) throws(SystemError) -> Decision
  ) throws(SystemError) {
    levels.append(Level(name: name, device: status.st_dev, inode: status.st_ino))
    let listing = try Listing(directory, path: place)
    let raw = directory.raw
    let place = place
    var found: [[CChar]] = []
    try listing.forEach { type, name throws(SystemError) in
      if try visit(Entry(directory: raw, name: name, type: type, place: place)) == .enter {
        found.append(Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1)))
      }
    }
    levels[levels.count - 1].subdirectories = found
  }

  /// The directory above, if it is still the one that was left for this one.
  private func goUp(from directory: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
    let raw = directory.raw
    let up = OwnedFD(adopting: try check("open", "\(place) (..)") { clinux_openat(raw, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) })
    let status = try Self.status(of: up, path: place)
    guard let level = levels.last, status.st_dev == level.device, status.st_ino == level.inode else {
      throw SystemError(errno: ESTALE, operation: "walk", object: "\(place): a directory was moved meanwhile")
    }
    return up
  }

  private func withEntry(_ name: [CChar], in directory: Int32, _ body: (Entry) throws(SystemError) -> Void) throws(SystemError) {
    let place = place
    try name.withUnsafeBufferPointer { buffer throws(SystemError) in
      guard let name = buffer.baseAddress else { return }
      try body(Entry(directory: directory, name: name, type: UInt8(DT_DIR), place: place))
    }
  }

  /// Where the walk is, for messages.
  private var place: String {
    let below = levels.dropFirst()
    let shown = below.count <= 12 ? Array(below) : Array(below.suffix(2))
    let names = shown.map { level in String(decoding: level.name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) }
    return ([root] + (below.count <= 12 ? [] : ["…"]) + names).joined(separator: "/")
  }
}

/// The names of one directory, packed: a type byte and the name with its zero, again and again.
private struct Listing {
  private var packed: [CChar] = []

  init(_ directory: borrowing OwnedFD, path: String) throws(SystemError) {
    let copy = try directory.duplicate().release()
    guard let stream = fdopendir(copy) else {
      let error = SystemError.last("fdopendir", path)
      close(copy)
      throw error
    }
    defer { closedir(stream) }
    while true {
      clinux_set_errno(0)
      guard let entry = readdir(stream) else {
        if clinux_errno() != 0 { throw SystemError.last("readdir", path) }
        return
      }
      let type = entry.pointee.d_type
      withUnsafePointer(to: &entry.pointee.d_name) { field in
        field.withMemoryRebound(to: CChar.self, capacity: 256) { name in
          if strcmp(name, ".") == 0 || strcmp(name, "..") == 0 { return }
          packed.append(CChar(bitPattern: type))
          packed.append(contentsOf: UnsafeBufferPointer(start: name, count: strlen(name) + 1))
        }
      }
    }
  }

  func forEach(_ body: (UInt8, UnsafePointer<CChar>) throws(SystemError) -> Void) throws(SystemError) {
    try packed.withUnsafeBufferPointer { buffer throws(SystemError) in
      guard let start = buffer.baseAddress else { return }
      var position = 0
      while position < buffer.count {
        let type = UInt8(bitPattern: start[position])
        let name = start + position + 1
        try body(type, name)
        position += 2 + strlen(name)
      }
    }
  }
}
