import CLinux
import ConformanceSuites
import SystemKit

extension OCIRuntimeSuite {
  static let terminals: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.terminal.console-socket", "the caller gets the terminal on --console-socket, and it is the program's streams and /dev/console",
      "config.md, process; config-linux.md, default devices; LX-11",
      why: "Shells in containers, and everything that asks or draws, run on it; who holds it is the only one to reach them."
    ) { site in
      let container = try site.container(
        "read line; echo got $line; test -t 0 && test -t 1 && test -t 2 && echo three terminals; test -c /dev/console && echo to the console >/dev/console")
      container.wantTerminal()
      let listener = try ConsoleListener(in: site.socketDirectory)
      let created = try container.tryCreate(options: ["--bundle", container.bundle, "--pid-file", container.pidFile, "--console-socket", listener.path])
      try expect(!created.failed, "create with a terminal and --console-socket failed: \(created.errors)")
      let terminal = try listener.terminal(within: site.seconds(5))
      try container.start()
      try terminal.type("a line")
      for (words, what) in [
        ("got a line", "what is typed does not reach the program, or its answer not the terminal"),
        ("three terminals", "the program's streams are no terminal"),
        ("to the console", "/dev/console is not this terminal"),
      ] {
        try expect(terminal.awaitText(words, within: site.seconds(5)), "\(what); there came: \(terminal.text.debugDescription)")
      }
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.output, "", "what came on the standard output of create")
    },
    oci(
      "config.terminal.size", "process.consoleSize is the size of the terminal", "config.md, process; CF-13", level: .should,
      why: "Programs that draw break their lines for another window until somebody resizes it."
    ) { site in
      let container = try site.container("stty size; sleep 100")
      try container.link("stty")
      container.wantTerminal()
      container.config["process"]["consoleSize"] = ["height": 33, "width": 99]
      let listener = try ConsoleListener(in: site.socketDirectory)
      let created = try container.tryCreate(options: ["--bundle", container.bundle, "--pid-file", container.pidFile, "--console-socket", listener.path])
      try expect(!created.failed, "create with a terminal and --console-socket failed: \(created.errors)")
      let terminal = try listener.terminal(within: site.seconds(5))
      try container.start()
      try expect(terminal.awaitText("\r\n", within: site.seconds(5)), "the program said nothing about the size, but \(terminal.text.debugDescription)")
      try expectEqual(terminal.text, "33 99\r\n", "rows and columns")
    },
    oci(
      "config.terminal.no-socket", "create with process.terminal and without --console-socket is an error", "command line of runtimes; RT-L30",
      why: "Nobody would hold the terminal: the program hangs on its first output, or ends."
    ) { site in
      let container = try site.container()
      container.wantTerminal()
      try expectRefused(try container.tryCreate(), "create with a terminal that nobody takes")
      try container.expectUnknown("after the refused create")
    },
  ]

  static let userNamespaces: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.user-namespace.mappings", "in a user namespace the ids are mapped as configured", "config-linux.md, user namespace mappings; LX-07; RC-09; LX-35",
      why: "The mapping is the wall: root of the container is to be nobody on the host."
    ) { site in
      let container = try site.mapped("sleep 100") { $0["process"]["user"] = ["uid": 1000, "gid": 1000] }
      try container.begin()
      let pid = try container.pid()
      for file in ["uid_map", "gid_map"] {
        let lines = contents("/proc/\(pid)/\(file)").split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        try expectEqual(lines, ["0 0 1000", "1000 201000 1000"], "/proc/PID/\(file)")
      }
      let status = contents("/proc/\(pid)/status").split(separator: "\n")
      for (name, what) in [("Uid:", "uid"), ("Gid:", "gid")] {
        let ids = status.first { $0.hasPrefix(name) }?.split(separator: "\t").dropFirst().map(String.init) ?? []
        try expectEqual(ids, [String](repeating: "201000", count: 4), "the program's \(what) on the host")
      }
    },
    oci(
      "config.user-namespace.ownership", "the files of the root keep their owners: a mapping does not rewrite them",
      "config-linux.md, user namespace mappings; LX-08",
      level: .should, why: "A root shared by containers with different mappings would be given to the last of them."
    ) { site in
      let container = try site.mapped("id -u; ls -n /data/host | sed -n 2p | tr -s ' ' | sed 's/ /:/g'; touch /data/mine; sleep 100")
      try Files.makeDirectories(container.rootfs + "/data/host")
      try write("x", to: container.rootfs + "/data/host/file")
      try container.begin()
      try expect(waitUntil(within: site.seconds(5)) { Files.exists(container.rootfs + "/data/mine") }, "the program made no file; it said \(container.errors)")
      for name in ["", "/bin/busybox", "/data/host/file", "/data/mine"] {
        let status = try Files.status(container.rootfs + name)
        try expectEqual("\(status.st_uid):\(status.st_gid)", "0:0", "owner and group of rootfs\(name) on the host")
      }
    },
    oci(
      "config.user-namespace.new", "a user namespace without a path is a new one", "config-linux.md, namespaces; LX-04, LX-07",
      why: "Root in the runtime's own user namespace is root on the host."
    ) { site in
      let container = try site.mapped("sleep 100")
      try container.begin()
      let (own, host) = (try container.namespace("user"), try namespaceOfProcess("self", "user"))
      try expect(own != host, "the container shares the user namespace \(host) with the runtime")
    },
  ]

  static let propagation: [ContractCase<OCIRuntimeSubject>] = ["private", "shared", "unbindable"].map { kind in
    oci(
      "config.root.propagation-\(kind)", "with rootfsPropagation \(kind) the container's root is \(kind)",
      "config-linux.md, rootfs mount propagation; RC-31; LX-34",
      level: kind == "unbindable" ? .should : .must,
      why: kind == "shared"
        ? "Storage drivers in containers mount for others: what they mount is not seen elsewhere without."
        : "What is mounted inside would be seen, and kept busy, elsewhere."
    ) { site in
      let container = try site.container()
      container.config["linux"]["rootfsPropagation"] = .string(kind)
      try container.begin()
      let lines = contents("/proc/\(try container.pid())/mountinfo").split(separator: "\n").map { $0.split(separator: " ") }
      guard let root = lines.last(where: { $0.count > 6 && $0[4] == "/" }) else { throw Mismatch(description: "the container has no root in its mountinfo") }
      let fields = root[6...].prefix { $0 != "-" }.map { $0.prefix { $0 != ":" } }
      let wanted: [Substring] = kind == "private" ? [] : [Substring(kind)]
      try expectEqual(fields, wanted, "the propagation of the container's root")
    }
  }
}

extension OCIContainer {
  /// A terminal, and where runtimes take it from.
  fileprivate func wantTerminal() {
    config["process"]["terminal"] = true
    mount("/dev/pts", type: "devpts", source: "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"])
  }
}

extension OCISite {
  /// A container in a user namespace: ids below 1000 are the host's own, the next thousand are from 201000 on.
  func mapped(_ script: String, _ change: (inout JSON) -> Void = { _ in }) throws -> OCIContainer {
    let container = try self.container(script)
    container.config["linux"]["namespaces"].append(["type": "user"])
    for kind in ["uidMappings", "gidMappings"] {
      container.config["linux"][kind] = [["containerID": 0, "hostID": 0, "size": 1000], ["containerID": 1000, "hostID": 201_000, "size": 1000]]
    }
    change(&container.config)
    return container
  }
}
