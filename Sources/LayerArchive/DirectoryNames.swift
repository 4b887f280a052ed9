import CLinux
import SystemKit

/// The names in a directory as bytes: an archive may hold any but `/` and zero, and so may a tree.
enum DirectoryNames {
  /// Without "." and "..", in no order; with the zero that C wants. `wanted` gets the type as readdir(3) has it.
  static func read(_ directory: Int32, _ what: String, where wanted: (UInt8) -> Bool = { _ in true }) throws(SystemError) -> [[CChar]] {
    let copy = try check("openat", what) { clinux_openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
    guard let stream = fdopendir(copy) else {
      close(copy)
      throw SystemError.last("fdopendir", what)
    }
    defer { closedir(stream) }
    var names: [[CChar]] = []
    while true {
      clinux_set_errno(0)
      guard let entry = readdir(stream) else {
        if clinux_errno() != 0 { throw SystemError.last("readdir", what) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1)) }
      }
      if name != [46, 0] && name != [46, 46, 0] && wanted(entry.pointee.d_type) { names.append(name) }
    }
  }

  /// Removes what has the name, a tree with everything in it. What is absent is fine; links are not followed.
  static func remove(_ name: [CChar], in directory: Int32, _ what: @autoclosure () -> String, depth: Int = 0) throws {
    if unlinkat(directory, name, 0) == 0 || clinux_errno() == ENOENT { return }
    if clinux_errno() != EISDIR { throw SystemError.last("unlinkat", what()) }
    // Each level takes a descriptor: what is very deep goes by path.
    if depth > 64, let text = String(validating: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) {
      return try Files.removeTree("/proc/self/fd/\(directory)/\(text)")
    }
    let opened = OwnedFD(adopting: try check("openat", what()) { clinux_openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0) })
    for child in try read(opened.raw, what()) { try remove(child, in: opened.raw, what(), depth: depth + 1) }
    try check("unlinkat", what()) { unlinkat(directory, name, AT_REMOVEDIR) }
  }
}
