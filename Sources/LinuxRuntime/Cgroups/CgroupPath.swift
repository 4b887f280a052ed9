/// Where a container's cgroup is, below the root of every hierarchy.
enum CgroupPath {
  /// - `nil`: "/<id>".
  /// - absolute or relative: below the root of the hierarchy. A relative path is the runtime's to place (config-linux.md),
  ///   and the root is the one place that does not depend on who asks.
  /// - "slice:prefix:name": where systemd would put the scope; nobody talks to systemd.
  static func resolve(_ configured: String?, id: String, systemd: Bool) throws(RuntimeError) -> String {
    guard let configured else { return "/" + id }
    let parts = configured.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 3, systemd || !configured.hasPrefix("/") { return try triple(slice: parts[0], prefix: parts[1], name: parts[2]) }
    let components = configured.split(separator: "/").map(String.init)
    guard !components.isEmpty, !components.contains(".."), !components.contains(".") else {
      throw RuntimeError(.invalid, "linux.cgroupsPath: \"\(configured)\" is not a path to a cgroup")
    }
    return "/" + components.joined(separator: "/")
  }

  private static func triple(slice: String, prefix: String, name: String) throws(RuntimeError) -> String {
    let slice = slice.isEmpty ? "system.slice" : slice
    guard slice.hasSuffix(".slice"), !slice.contains("/"), !name.isEmpty, !name.contains("/"), !prefix.contains("/") else {
      throw RuntimeError(.invalid, "linux.cgroupsPath: \"\(slice):\(prefix):\(name)\" is not slice:prefix:name")
    }
    let unit = name.hasSuffix(".slice") ? name : "\(prefix.isEmpty ? "" : prefix + "-")\(name).scope"
    if slice == "-.slice" { return "/" + unit }
    // "a-b-c.slice" lies in "a-b.slice", which lies in "a.slice".
    var path = ""
    var collected = ""
    for part in slice.dropLast(6).split(separator: "-") {
      collected += (collected.isEmpty ? "" : "-") + part
      path += "/\(collected).slice"
    }
    return "\(path)/\(unit)"
  }
}
