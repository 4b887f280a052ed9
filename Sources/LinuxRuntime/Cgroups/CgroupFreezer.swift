import CLinux

extension Cgroup {
  var isFrozen: Bool {
    if let freezer = directory("freezer") { return CgroupFile.text(freezer.path + "/freezer.state").map { $0 != "THAWED" } ?? false }
    return unified.map { CgroupFile.text($0.path + "/cgroup.freeze") == "1" } ?? false
  }

  /// Stops or continues every process inside and waits, two seconds at most, until the kernel says so.
  func setFrozen(_ frozen: Bool) throws(RuntimeError) {
    if let freezer = directory("freezer") {
      let file = freezer.path + "/freezer.state"
      let wanted = frozen ? "FROZEN" : "THAWED"
      for round in 0..<1000 {
        // Again and again: a process forking at the wrong moment keeps the state at FREEZING.
        try CgroupFile.write(wanted, file)
        if CgroupFile.text(file) == wanted { return }
        if frozen, round % 50 == 49 { try CgroupFile.write("THAWED", file) }
        usleep(2000)
      }
      if frozen { CgroupFile.tryWrite("THAWED", file) }
    } else if let unified {
      try CgroupFile.write(frozen ? "1" : "0", unified.path + "/cgroup.freeze")
      for _ in 0..<1000 {
        if CgroupFile.pairs(unified.path + "/cgroup.events").contains(where: { $0.name == "frozen" && $0.value == (frozen ? 1 : 0) }) { return }
        usleep(2000)
      }
      if frozen { CgroupFile.tryWrite("0", unified.path + "/cgroup.freeze") }
    } else {
      throw RuntimeError(.system, "no cgroup freezer is available")
    }
    throw RuntimeError(.system, "the cgroup did not become \(frozen ? "frozen" : "thawed") in two seconds")
  }
}
