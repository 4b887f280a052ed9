import Protocols

/// Which of an index's manifests a machine runs.
extension Platform {
  /// One name for each platform: `aarch64` is `arm64/v8`, `x86_64` is `amd64`, `armhf` is `arm/v7`.
  public var normalized: Platform {
    var platform = self
    platform.os = os.lowercased()
    platform.architecture = architecture.lowercased()
    platform.variant = variant.lowercased()
    switch platform.architecture {
    case "x86_64", "x86-64": platform.architecture = "amd64"
    case "i386": platform.architecture = "386"
    case "aarch64": platform.architecture = "arm64"
    case "armhf": (platform.architecture, platform.variant) = ("arm", "v7")
    case "armel": (platform.architecture, platform.variant) = ("arm", "v6")
    default: break
    }
    switch (platform.architecture, platform.variant) {
    case ("arm64", ""), ("arm64", "8"): platform.variant = "v8"
    case ("arm", ""): platform.variant = "v7"
    case ("arm", "5"), ("arm", "6"), ("arm", "7"), ("arm", "8"): platform.variant = "v" + platform.variant
    case ("amd64", "v1"): platform.variant = ""
    default: break
    }
    return platform
  }

  /// What this machine runs, the best first: its own, then older variants, then what its processor runs besides.
  public var runnable: [Platform] {
    let mine = normalized
    func variants(_ architecture: String, from newest: Int, downTo oldest: Int) -> [Platform] {
      newest < oldest ? [] : (oldest...newest).reversed().map { Platform(os: mine.os, architecture: architecture, variant: "v\($0)").normalized }
    }
    let level = Int(mine.variant.dropFirst())
    switch mine.architecture {
    case "amd64": return variants("amd64", from: level ?? 1, downTo: 1) + [Platform(os: mine.os, architecture: "386")]
    case "arm64":
      let own = level.map { $0 > 8 ? variants("arm64", from: $0, downTo: 8) : [mine] } ?? [mine]
      return own + variants("arm", from: 8, downTo: 5)
    case "arm": return level.map { variants("arm", from: $0, downTo: min($0, 5)) } ?? [mine]
    default: return [mine]
    }
  }

  /// Whether this machine runs what is made for `other`.
  public func accepts(_ other: Platform) -> Bool { rank(of: other) != nil }

  /// 0 for what suits best; nil for what does not run.
  func rank(of other: Platform) -> Int? {
    let theirs = other.normalized
    return runnable.firstIndex { $0.os == theirs.os && $0.architecture == theirs.architecture && $0.variant == theirs.variant }
  }
}
