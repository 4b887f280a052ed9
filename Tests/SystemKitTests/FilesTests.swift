import CLinux
import SystemKit
import TestSupport
import Testing

@Suite struct FilesTests {
  let scratch = ScratchDirectory("files")

  @Test func aFileIsReplacedAsAUnit() throws {
    let path = scratch.path + "/file"
    try Files.writeAtomically(Array("old".utf8), to: path)
    let reader = try Files.open(path, O_RDONLY)
    try Files.writeAtomically(Array("new and longer".utf8), to: path, mode: 0o640)
    #expect(try Files.readAll(reader, path: path) == Array("old".utf8), "whoever has the old file open reads the old file")
    #expect(try Files.read(path) == Array("new and longer".utf8))
    #expect(try Files.status(path).st_mode & 0o777 == 0o640)
    #expect(try Files.names(in: scratch.path) == ["file"], "no temporary file is left")
  }

  @Test func whatCannotBeReplacedIsLeftAsItWas() throws {
    let path = scratch.path + "/directory"
    try Files.makeDirectories(path + "/inside")
    #expect(throws: SystemError.self) { try Files.writeAtomically([1], to: path) }
    #expect(try Files.names(in: scratch.path) == ["directory"])
    #expect(throws: SystemError.self) { try Files.writeAtomically([1], to: scratch.path + "/absent/file") }
  }

  @Test func manyWritersOfOneFileLeaveOneWholeFile() async throws {
    let path = scratch.path + "/file"
    try await withThrowingTaskGroup(of: Void.self) { group in
      for byte in UInt8(1)...16 { group.addTask { try Files.writeAtomically([UInt8](repeating: byte, count: 10_000), to: path) } }
      try await group.waitForAll()
    }
    let bytes = try Files.read(path)
    #expect(bytes.count == 10_000 && Set(bytes).count == 1)
    #expect(try Files.names(in: scratch.path) == ["file"])
  }

  @Test func aFileLargerThanTheLimitIsAnErrorAndNoCut() throws {
    let path = scratch.path + "/file"
    try Files.writeAtomically([UInt8](repeating: 1, count: 1000), to: path)
    #expect(try Files.read(path, limit: 1000).count == 1000)
    #expect(throws: SystemError(errno: EFBIG, operation: "read", object: path)) { try Files.read(path, limit: 999) }
  }

  @Test func errorsNameTheCallTheObjectAndTheCause() {
    let path = scratch.path + "/absent"
    do throws(SystemError) { _ = try Files.read(path) } catch { #expect(error.description == "open \(path): No such file or directory") }
    #expect(throws: SystemError.self) { try Files.read(path) }
  }

  @Test func directoriesAreMadeWithTheirParentsAndLeftAloneIfTheyExist() throws {
    let path = scratch.path + "/a/b/c"
    try Files.makeDirectories(path, mode: 0o700)
    try Files.makeDirectories(path, mode: 0o755)
    #expect(try Files.status(path).st_mode & 0o777 == 0o700)
    try Files.writeAtomically([], to: scratch.path + "/file")
    #expect(throws: SystemError.self) { try Files.makeDirectories(scratch.path + "/file/below") }
  }

  @Test(arguments: [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b", "a"), ("/", "/")]) func theParentOfAPath(_ path: String, _ parent: String) {
    #expect(Files.parent(of: path) == parent)
  }
}
