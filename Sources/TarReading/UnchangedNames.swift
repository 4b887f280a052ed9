import CLinux
import SystemKit

/// Names in archives are bytes, which libarchive takes through the thread's locale: in one of UTF-8 they pass unchanged, whatever the process has.
public enum UnchangedNames {
  /// Does something that reads or writes an archive, with such a locale for this thread.
  public static func during<Result>(_ body: () throws -> Result) throws -> Result {
    guard let locale = clinux_utf8_locale() else { throw SystemError.last("newlocale", "C.UTF-8") }
    let before = uselocale(locale)
    defer {
      uselocale(before)
      freelocale(locale)
    }
    return try body()
  }
}
