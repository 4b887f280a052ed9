import CLinux

/// A file descriptor with exactly one owner: closed when the owner goes away, never twice, never leaked.
///
/// All descriptors made by this module are close-on-exec.
public struct OwnedFD: ~Copyable, Sendable {
  /// The number, borrowed: valid only while the owner lives.
  public let raw: Int32

  /// Takes ownership of an open descriptor.
  public init(adopting raw: Int32) {
    precondition(raw >= 0, "an OwnedFD is always an open descriptor")
    self.raw = raw
  }

  deinit { _ = CLinux.close(raw) }

  /// Hands the descriptor to somebody else, who must close it.
  public consuming func release() -> Int32 {
    let value = raw
    discard self
    return value
  }

  /// Closes now and reports what `close(2)` says: the only place where a delayed write error can show.
  public consuming func close(path: String) throws(SystemError) {
    let value = release()
    if CLinux.close(value) != 0 { throw SystemError.last("close", path) }
  }

  public func duplicate() throws(SystemError) -> OwnedFD {
    let copy = clinux_fcntl(raw, F_DUPFD_CLOEXEC, 0)
    if copy < 0 { throw SystemError.last("dup", "fd \(raw)") }
    return OwnedFD(adopting: copy)
  }
}
