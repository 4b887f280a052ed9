import CLinux
import LinuxRuntime
import SystemKit
import TestSupport
import Testing

/// The program beside the tests.
private enum Refrun {
  static let path: String? = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, 4095)
    guard count > 0 else { return nil }
    let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/refrun"
    return Files.exists(path) ? path : nil
  }()
}

extension RealContainers {
  /// `refrun create` killed at each of its steps: `delete --force` leaves nothing.
  @Suite(.serialized) struct KilledCreationTests {
    @Test(
      .enabled(if: Refrun.path != nil, "refrun is not built beside the tests"),
      arguments: [
        "create.directory", "create.configured", "create.announced", "create.cgroup", "create.prepared", "create.cloned", "create.hooks", "create.ready",
        "create.saved", "create.released",
      ])
    func deleteLeavesNothingOf(_ place: String) throws {
      let bundle = try Bundle()
      let hook = JSONValue.record([("path", .string("/bin/true"))])
      let config = bundle.config(["/bin/sleep", "100"], [("hooks", .record([("prestart", .array([hook]))]))])
      try Files.writeAtomically(config.serialized(), to: bundle.path + "/config.json", mode: 0o644)
      let cgroup = try RuntimeSpec(json: config.serialized()).linux.cgroupsPath ?? "/none"
      let result = try refrun("create", "--bundle", bundle.path, "x", in: bundle, killedAt: place)
      #expect(result.status == 137, "\(place) was not reached: \(result)")

      let said = try refrun("state", "x", in: bundle)
      switch place {
      case "create.directory", "create.configured": #expect(said.status == 1, "\(said)")
      case "create.released": #expect(said.output.contains("\"created\""), "\(said)")
      default: #expect(said.output.contains("\"stopped\""), "\(said)")
      }
      let deleted = try refrun("delete", "--force", "x", in: bundle)
      #expect(deleted.status == 0, "\(deleted)")
      #expect(try Files.names(in: bundle.root).isEmpty)
      #expect(try cgroups(cgroup) == [])
      #expect(try Bundle.eventually { try processes(naming: bundle.root) == [] })
      // And the id is free.
      #expect(try refrun("create", "--bundle", bundle.path, "x", in: bundle).status == 0)
      #expect(try refrun("delete", "--force", "x", in: bundle).status == 0)
    }

    /// Whoever lives in a cgroup that was not made for the container is somebody else.
    @Test(.enabled(if: Refrun.path != nil, "refrun is not built beside the tests"))
    func deleteEndsNobodyInACgroupOfOthers() throws {
      let bundle = try Bundle()
      let other = try bundle.create(bundle.spec("sleep 100"))
      let config = bundle.config(["/bin/sleep", "100"], [("linux.cgroupsPath", .string(other.spec.linux.cgroupsPath ?? ""))])
      try Files.writeAtomically(config.serialized(), to: bundle.path + "/config.json", mode: 0o644)
      #expect(try refrun("create", "--bundle", bundle.path, "x", in: bundle, killedAt: "create.announced").status == 137)
      #expect(try refrun("delete", "--force", "x", in: bundle).status == 0)
      #expect(other.state == .created)
    }

    private func refrun(_ arguments: String..., in bundle: Bundle, killedAt place: String = "none") throws -> (status: Int32, output: String) {
      // Through a file: a container keeps what it is given open.
      let log = bundle.scratch.path + "/log"
      unlink(log)
      let result = try TestSupport.run(
        ["/bin/sh", "-c", "REF_CRASH_AT=\(place) \"$@\" </dev/null >\(log) 2>&1", "sh", Refrun.path ?? "", "--root", bundle.root] + arguments)
      return (result.status, String(decoding: try Files.read(log), as: UTF8.self))
    }

    private func cgroups(_ path: String) throws -> [String] {
      let top = "/sys/fs/cgroup"
      return try ([""] + Files.names(in: top).map { "/" + $0 }).map { top + $0 + path }.filter { Files.exists($0) }
    }

    /// Copies of refrun that hold or make a container of this test.
    private func processes(naming word: String) throws -> [String] {
      try Files.names(in: "/proc").filter { pid_t($0) != nil }.compactMap { pid in
        guard let line = try? Files.read("/proc/\(pid)/cmdline") else { return nil }  // ended meanwhile
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.contains(word) ? "\(pid): \(words.joined(separator: " "))" : nil
      }
    }
  }
}
