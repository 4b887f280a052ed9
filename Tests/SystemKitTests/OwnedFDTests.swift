import CLinux
import SystemKit
import TestSupport
import Testing

@Suite struct OwnedFDTests {
  let scratch = ScratchDirectory("descriptors")

  /// The number may be another file's by now; it is ours only if it is this file.
  private func isOpen(_ descriptor: Int32, on path: String) throws -> Bool {
    var there = stat()
    if fstat(descriptor, &there) != 0 { return false }
    let file = try Files.status(path)
    return there.st_ino == file.st_ino && there.st_dev == file.st_dev
  }

  private func file() throws -> String {
    let path = scratch.path + "/file"
    try Files.writeAtomically([1, 2, 3], to: path)
    return path
  }

  @Test func aDescriptorIsClosedWithItsOwner() throws {
    let path = try file()
    func number() throws -> Int32 {
      let owned = try Files.open(path, O_RDONLY)
      #expect(try isOpen(owned.raw, on: path))
      return owned.raw
    }
    #expect(try !isOpen(number(), on: path))
  }

  @Test func aReleasedDescriptorIsSomebodyElsesToClose() throws {
    let path = try file()
    let number = try Files.open(path, O_RDONLY).release()
    #expect(try isOpen(number, on: path))
    close(number)
  }

  @Test func aDuplicateOutlivesTheOriginalAndClosesOnExec() throws {
    let path = try file()
    func copy() throws -> OwnedFD { try Files.open(path, O_RDONLY).duplicate() }
    let duplicate = try copy()
    #expect(try Files.readAll(duplicate, path: path) == [1, 2, 3])
    #expect(clinux_fcntl(duplicate.raw, F_GETFD, 0) & FD_CLOEXEC != 0)
  }

  @Test func closingReportsWhatTheKernelSays() throws {
    let path = try file()
    let owned = try Files.open(path, O_RDONLY)
    let number = owned.raw
    try owned.close(path: path)
    #expect(try !isOpen(number, on: path))
  }
}
