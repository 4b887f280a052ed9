import LinuxRuntime

/// Time for log lines.
enum Clock {
  static func now() -> String { Container.timestampNow() }
}
