import ConformanceSystemSuites

/// Files as a value, with everything that a layer can say of them: what appliers must make.
package struct LayerTree: Sendable {
  package struct Inode: Sendable {
    package var kind: FileKind
    package var attributes: EntryAttributes
  }
  /// Paths relative to the root; the root itself is not in it.
  package private(set) var names: [String: Int] = [:]
  private var inodes: [Int: Inode] = [:]
  private var last = 0
  package init() {}

  package subscript(path: String) -> Inode? { names[path].flatMap { inodes[$0] } }
  package func isDirectory(_ path: String) -> Bool { path.isEmpty || self[path]?.kind == .directory }
  package static func parent(_ path: String) -> String { path.split(separator: "/").dropLast().joined(separator: "/") }
  /// All names of the file.
  package func names(of path: String) -> Set<String> {
    guard let number = names[path] else { return [] }
    return Set(names.filter { $0.value == number }.keys)
  }
  /// Whether an entry of this path may be added: what is above it is a directory, or not there and made by the way.
  package func holds(_ path: String) -> Bool {
    let parent = Self.parent(path)
    return isDirectory(parent) || (names[parent] == nil && holds(parent))
  }

  /// Removes a file or a whole directory.
  package mutating func remove(_ path: String) {
    names[path] = nil
    empty(path)
  }
  package mutating func empty(_ directory: String) { for below in names.keys where below.hasPrefix(directory + "/") { names[below] = nil } }

  /// Parents that nobody has told of are root's, and anybody may enter them.
  private mutating func makeParents(of path: String) {
    let parent = Self.parent(path)
    if parent.isEmpty || names[parent] != nil { return }
    makeParents(of: parent)
    add(parent, Inode(kind: .directory, attributes: EntryAttributes(mode: 0o755, modified: nil)))
  }
  private mutating func add(_ path: String, _ inode: Inode) {
    last += 1
    names[path] = last
    inodes[last] = inode
  }

  /// Puts a file in the place of whatever was there.
  package mutating func put(_ path: String, _ inode: Inode) {
    makeParents(of: path)
    remove(path)
    add(path, inode)
  }
  /// A directory over a directory takes its attributes.
  package mutating func putDirectory(_ path: String, _ attributes: EntryAttributes) {
    if let number = names[path], inodes[number]?.kind == .directory {
      inodes[number]?.attributes = attributes
    } else {
      put(path, Inode(kind: .directory, attributes: attributes))
    }
  }
  package mutating func link(_ path: String, to existing: String) {
    guard let number = names[existing] else { return }
    makeParents(of: path)
    remove(path)
    names[path] = number
  }
  /// Something in the directory came or went, and nobody has told when.
  package mutating func touch(_ directory: String) {
    if let number = names[directory], inodes[number]?.kind == .directory { inodes[number]?.attributes.modified = nil }
  }

  /// As it must be seen, but for the root.
  package var seen: SeenTree {
    var files: [String: SeenFile] = [:]
    for (path, number) in names {
      guard let inode = inodes[number] else { continue }
      files[path] = SeenFile(
        kind: inode.kind, mode: inode.attributes.mode, owner: inode.attributes.owner, group: inode.attributes.group, modified: inode.attributes.modified,
        attributes: inode.attributes.extended, names: inode.kind == .directory ? [path] : names(of: path))
    }
    return SeenTree(files: files)
  }

  package var description: String { names.keys.sorted().map { isDirectory($0) ? $0 + "/" : $0 }.joined(separator: " ") }
}

/// What an entry of an archive says of a file beside its contents.
package struct EntryAttributes: Hashable, Sendable, CustomStringConvertible {
  package var mode: Int
  package var owner = 0
  package var group = 0
  /// nil where nobody has told.
  package var modified: FileTime? = FileTime(1_000_000_000)
  package var extended: [String: [UInt8]] = [:]

  package init(mode: Int, modified: FileTime? = FileTime(1_000_000_000)) {
    self.mode = mode
    self.modified = modified
  }

  package var description: String {
    var words: [String] = []
    if mode != 0o644 && mode != 0o755 { words.append(String(mode, radix: 8)) }
    if owner != 0 || group != 0 { words.append("\(owner):\(group)") }
    if let modified, modified != FileTime(1_000_000_000) { words.append("of \(modified)") }
    return (words + extended.keys.sorted()).joined(separator: " ")
  }

  private static let owners = [0, 1000, 70_000, 3_000_000_000]
  private static let times = [
    FileTime(1_000_000_000), FileTime(1_234_567_890, 123_456_789), FileTime(1, 1), FileTime(2_500_000_000, 500_000_000), FileTime(1_600_000_000),
  ]
  /// CAP_NET_BIND_SERVICE, permitted and effective, in the second form of `struct vfs_cap_data`.
  private static let capability: [UInt8] = [1, 0, 0, 2, 0, 4] + [UInt8](repeating: 0, count: 14)
  private static let extended: [[String: [UInt8]]] = [
    [:], ["user.note": Array("a note".utf8)], ["user.note": [0, 10, 61, 255, 0]], ["security.capability": capability],
    ["security.capability": capability, "user.note": Array("a note".utf8)],
  ]

  package static func draw(_ attempt: Attempt, directory: Bool) -> EntryAttributes {
    var drawn = EntryAttributes(mode: directory ? 0o755 : 0o644)
    if attempt.draw(10) < 4 { return drawn }
    drawn.mode = attempt.one(of: directory ? [0o755, 0o700, 0o2775, 0o1777, 0o511] : [0o644, 0o600, 0o4755, 0o2711, 0o6755, 0])
    drawn.owner = attempt.one(of: owners)
    drawn.group = attempt.one(of: owners)
    drawn.modified = attempt.one(of: times)
    drawn.extended = extended[attempt.draw(directory ? 3 : extended.count)]
    return drawn
  }
}
