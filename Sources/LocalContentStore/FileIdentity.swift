import CLinux
import SystemKit

/// Which file is at a path: an inode's number is given to another once it is free, the time of its last change is not.
struct FileIdentity: Equatable {
  private let device: dev_t
  private let inode: ino_t
  private let seconds: Int
  private let nanoseconds: Int

  init(_ status: stat) {
    (device, inode) = (status.st_dev, status.st_ino)
    (seconds, nanoseconds) = (status.st_ctim.tv_sec, status.st_ctim.tv_nsec)
  }

  /// nil if there is none.
  init?(_ path: String) {
    var status = stat()
    if stat(path, &status) != 0 { return nil }
    self.init(status)
  }
}
