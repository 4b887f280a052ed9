import BlockingIO
import CLinux
import SystemKit
import TestSupport
import Testing

@Suite struct RemoveTreeTests {
  let scratch = ScratchDirectory("remove")

  /// A tree whose deepest path has far more than PATH_MAX bytes: made, as a container would, by entering it.
  func makeDeepTree(_ path: String, levels: Int) throws {
    try Files.makeDirectories(path)
    var directory = try Files.open(path, O_RDONLY | O_DIRECTORY)
    let name = String(repeating: "d", count: 200)
    for _ in 0..<levels {
      let raw = directory.raw
      try check("mkdirat", name) { mkdirat(raw, name, 0o755) }
      _ = try Files.open("file", at: directory, O_WRONLY | O_CREAT, mode: 0o644)
      directory = try Files.open(name, at: directory, O_RDONLY | O_DIRECTORY)
    }
  }

  @Test func aTreeDeeperThanAnyPathIsRemoved() throws {
    let path = scratch.path + "/deep"
    try makeDeepTree(path, levels: 300)
    try Files.removeTree(path)
    #expect(!Files.exists(path))
  }

  @Test func aDeepTreeNeedsFewDescriptors() async throws {
    // In a process of its own: the limit holds for all of it.
    await #expect(processExitsWith: .success) {
      let path = "/tmp/ref-deep-\(getpid())"
      mkdir(path, 0o755)
      chdir(path)
      for _ in 0..<2000 {
        mkdir("d", 0o755)
        chdir("d")
      }
      chdir("/")
      // Beside what other tests had open when this process was made.
      let few = rlim_t(try Files.names(in: "/proc/self/fd").count + 20)
      var limit = rlimit(rlim_cur: few, rlim_max: few)
      setrlimit(__rlimit_resource_t(7), &limit)
      try Files.removeTree(path)
      exit(Files.exists(path) ? 1 : 0)
    }
  }

  @Test func whatIsAbsentIsFine() throws {
    try Files.removeTree(scratch.path + "/never")
    try Files.removeTree(scratch.path + "/never/was/there")
  }

  @Test func filesAndLinksAreRemovedAndNotFollowed() throws {
    let outside = scratch.path + "/outside"
    try Files.makeDirectories(outside)
    try Files.writeAtomically([1], to: outside + "/kept")
    let tree = scratch.path + "/tree"
    try Files.makeDirectories(tree)
    try #require(symlink(outside, tree + "/link") == 0)
    try Files.removeTree(tree)
    try #require(symlink(outside, scratch.path + "/link") == 0)
    try Files.removeTree(scratch.path + "/link")
    #expect(try Files.names(in: outside) == ["kept"])
    #expect(!Files.exists(tree) && !Files.exists(scratch.path + "/link"))
  }

  @Test func namesThatAreNoTextAreRemovedToo() throws {
    let tree = scratch.path + "/bytes"
    try Files.makeDirectories(tree)
    let directory = try Files.open(tree, O_RDONLY | O_DIRECTORY)
    let raw = directory.raw
    let name: [CChar] = [CChar(bitPattern: 0xff), CChar(bitPattern: 0xfe), 0x61, 0]
    try check("mkdirat", tree) { mkdirat(raw, name, 0o755) }
    let inner = OwnedFD(adopting: try check("openat", tree) { clinux_openat(raw, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) })
    let innerRaw = inner.raw
    _ = OwnedFD(adopting: try check("openat", tree) { clinux_openat(innerRaw, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644) })
    try Files.removeTree(tree)
    #expect(!Files.exists(tree))
  }

  /// A directory that is moved away while the walk is inside it: the walk must not go on where it was moved to.
  @Test func aDirectoryMovedAwayDoesNotLeadTheWalkOutOfTheTree() throws {
    let tree = scratch.path + "/tree"
    let outside = scratch.path + "/outside"
    try Files.makeDirectories(tree + "/a/b/c")
    try Files.makeDirectories(outside + "/precious")
    let parent = try Files.open(scratch.path, O_RDONLY | O_DIRECTORY)
    var visited: [String] = []
    #expect(throws: SystemError.self) {
      try TreeWalk.walk("tree", at: parent, path: tree) { entry throws(SystemError) in
        let name = String(cString: entry.name)
        visited.append(name)
        if name == "c" { try check("rename", name) { rename(tree + "/a/b", outside + "/b") } }
        return .enter
      } mounted: { _ in
      } left: { entry throws(SystemError) in
        try check("rmdir", entry.path) { unlinkat(entry.directory, entry.name, AT_REMOVEDIR) }
      }
    }
    #expect(visited == ["a", "b", "c"])
    #expect(Set(try Files.names(in: outside)) == ["precious", "b"])
    #expect(Files.exists(tree + "/a"))
  }

  /// Not even a bind mount of the same file system, whose device number tells nothing.
  @Test(.enabled(if: Needs.root, "needs root: run the tests as root")) func whatIsMountedInTheTreeIsKept() throws {
    let outside = scratch.path + "/outside"
    try Files.makeDirectories(outside + "/precious")
    let tree = scratch.path + "/tree"
    try Files.makeDirectories(tree + "/mnt")
    try Mounts.mount(type: "bind", source: outside, target: tree + "/mnt", options: ["rbind"])
    do throws(SystemError) {
      try Files.removeTree(tree)
      Issue.record("a tree with a mount in it was removed")
    } catch { #expect(error.errno == EBUSY && error.description.contains("/mnt"), "\(error)") }
    do throws(SystemError) {
      try Files.removeTree(tree + "/mnt")
      Issue.record("a mount point was removed")
    } catch { #expect(error.errno == EBUSY, "\(error)") }
    try Mounts.unmount(tree + "/mnt")
    #expect(try Files.names(in: outside) == ["precious"])
  }

  @Test(arguments: ["..", ".", "a/.."]) func aNameThatIsAWayUpIsRefused(_ name: String) throws {
    try Files.makeDirectories(scratch.path + "/a")
    #expect(throws: SystemError.self) { try Files.removeTree("\(scratch.path)/\(name)") }
    #expect(Files.exists(scratch.path + "/a"))
  }

  /// A collection and a commit may remove one directory at the same time.
  @Test func severalRemoveOneTreeAtOnce() async throws {
    let scratch = ScratchDirectory("remove-tree")
    for round in 0..<20 {
      let tree = "\(scratch.path)/\(round)"
      for branch in 0..<10 {
        try Files.makeDirectories("\(tree)/\(branch)/a/b")
        try Files.writeAtomically([1], to: "\(tree)/\(branch)/a/file")
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<4 { group.addTask { try await DedicatedThread.run { try Files.removeTree(tree) } } }
        try await group.waitForAll()
      }
      #expect(!Files.exists(tree))
    }
  }
}
