import CLinux
import ConformanceSuites
import SystemKit

/// What cases see of a file that is read.
extension LazyTree {
  /// The file must have the image's bytes.
  func expectWhole(_ path: String, _ when: String = "") throws {
    guard let wanted = LazyImage.standard.files[path] else { throw SuiteError("the image has no file \(path)") }
    try Self.expectSame(try expectRead(path, at: 0, count: wanted.count + 1, when), wanted, path, when)
  }

  /// A part of a file must have the image's bytes.
  func expectPart(_ path: String, at offset: Int, count: Int, _ when: String = "") throws {
    guard let whole = LazyImage.standard.files[path] else { throw SuiteError("the image has no file \(path)") }
    try Self.expectSame(try expectRead(path, at: offset, count: count, when), Array(whole.dropFirst(offset).prefix(count)), path, when, offset)
  }

  private func expectRead(_ path: String, at offset: Int, count: Int, _ when: String) throws -> [UInt8] {
    do { return try read(path, at: offset, count: count) } catch let error as SystemError {
      throw Mismatch(description: "\(path) cannot be read\(Self.suffix(when)): \(error.reason)", expected: "the bytes of \(path)", actual: error.reason)
    }
  }

  /// Where the bytes cannot be had: an error of input and output, or the right bytes, if they were here already. Nothing else.
  /// - Returns: whether it was an error.
  @discardableResult
  func expectRightOrError(_ path: String, at offset: Int, count: Int, _ when: String) throws -> Bool {
    let got: [UInt8]
    do { got = try read(path, at: offset, count: count) } catch let error as SystemError {
      if [EIO, ETIMEDOUT, ENODATA].contains(error.errno) { return true }
      throw Mismatch(
        description: "\(path)\(Self.suffix(when)): expected an error of input and output (EIO), got \(error.reason)", expected: "EIO", actual: error.reason)
    }
    let wanted = Array((LazyImage.standard.files[path] ?? []).dropFirst(offset).prefix(count))
    try Self.expectSame(got, wanted, path, when, offset)
    return false
  }

  private static func suffix(_ when: String) -> String { when.isEmpty ? "" : " " + when }

  private static func expectSame(_ got: [UInt8], _ wanted: [UInt8], _ path: String, _ when: String, _ start: Int = 0) throws {
    if got == wanted { return }
    let text = suffix(when)
    if got.count != wanted.count {
      throw Mismatch(
        description: "\(path)\(text): \(got.count) bytes from byte \(start) on, the image has \(wanted.count)", expected: "\(wanted.count) bytes",
        actual: "\(got.count) bytes")
    }
    let place = zip(got, wanted).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
    throw Mismatch(
      description: "\(path)\(text): byte \(start + place) is not the image's: wrong bytes were served", expected: "the image's bytes", actual: "other bytes")
  }
}
