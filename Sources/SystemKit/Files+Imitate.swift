import CLinux

extension Files {
  /// Gives a directory the owner, mode and times of another.
  public static func imitate(_ model: String, _ path: String) throws(SystemError) {
    let status = try status(model)
    try check("chown", path) { chown(path, status.st_uid, status.st_gid) }
    try check("chmod", path) { chmod(path, status.st_mode & 0o7777) }
    var times = [status.st_atim, status.st_mtim]
    try check("utimensat", path) { utimensat(AT_FDCWD, path, &times, 0) }
  }
}
