import CLinux
import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  static let fileSystems: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.root.readonly", "root.readonly makes the root read-only, and mounts in it stay writable", "config.md, root; CF-03",
      why: "A root that can be written is changed by an intruder, for good."
    ) { site in
      let container = try site.container("touch /new 2>/dev/null && echo wrote-root; touch /data/new && echo wrote-data; grep -c . /proc/mounts >/dev/null")
      container.config["root"]["readonly"] = true
      container.mount("/data", type: "tmpfs", source: "tmpfs", [])
      try expectEqual(try container.printed(), "wrote-data", "what could be written")
    },
    oci("config.root.writable", "without root.readonly the root can be written", "config.md, root; CF-03", why: "Programs write their files.") { site in
      let container = try site.container("touch /new && echo wrote")
      try expectEqual(try container.printed(), "wrote", "what could be written")
    },
    oci(
      "config.root.missing", "a root that is not there is an error", "config.md, root; CF-02", why: "An empty root in its place hides the mistake."
    ) { site in
      let container = try site.container()
      container.config["root"]["path"] = "no-such-directory"
      try expectRefused(try container.tryCreate(), "create with a root that does not exist")
    },
    oci(
      "config.mount.options", "the options of a mount are in force", "config.md, mounts; CF-06, RT-O13", why: "nosuid, nodev and noexec are walls."
    ) { site in
      let container = try site.container()
      let options = ["ro", "nosuid", "nodev", "noexec", "noatime", "sync", "dirsync"]
      for option in options {
        try Files.makeDirectories(container.rootfs + "/data/" + option)
        container.mount("/data/\(option)", type: "tmpfs", source: "tmpfs", [option])
      }
      try container.begin()
      let lines = contents("/proc/\(try container.pid())/mountinfo").split(separator: "\n")
      for option in options {
        guard let line = lines.first(where: { $0.split(separator: " ").dropFirst(4).first == "/data/\(option)" }) else {
          throw Mismatch(description: "no mount at /data/\(option)")
        }
        let words = line.split(separator: " ")
        let all = Set((words[5] + "," + (words.last ?? "")).split(separator: ",").map(String.init))
        // `dirsync` and `sync` are told in one word each on the file system's side.
        try expect(all.contains(option), "the mount with the option \(option) has the options \(all.sorted().joined(separator: ","))")
      }
    },
    oci(
      "config.mount.bind-readonly", "a bind mount with `ro` cannot be written, its source can", "config.md, mounts; CF-06",
      why: "The flag needs a second step that is easily forgotten: then the host's files can be changed."
    ) { site in
      try Files.makeDirectories(site.place + "/volume")
      let container = try site.container("touch /data/new 2>/dev/null && echo wrote; true")
      container.bind(site.place + "/volume", "/data", ["ro"])
      try expectEqual(try container.printed(), "", "what could be written")
      try write("", to: site.place + "/volume/host")
    },
    oci(
      "config.mount.order", "mounts are made in the order in which they are listed", "config.md, mounts; CF-04", why: "The later one lies on top."
    ) { site in
      for name in ["first", "second"] {
        try Files.makeDirectories("\(site.place)/\(name)/below")
        try write(name, to: "\(site.place)/\(name)/name")
      }
      let container = try site.container("cat /data/name; echo; ls /data/below")
      container.bind(site.place + "/first", "/data")
      container.bind(site.place + "/second", "/data")
      container.bind(site.place + "/first", "/data/below")
      try expectEqual(try container.printed(), "second\nbelow\nname", "what lies on top")
    },
    oci(
      "config.mount.missing-destination", "a destination that is missing is made", "config.md, mounts; CF-05", level: .should,
      why: "Images have no directory for every volume."
    ) { site in
      try write("file", to: site.place + "/file")
      let container = try site.container("touch /deep/er/new && echo directory; cat /other/file")
      container.mount("/deep/er", type: "tmpfs", source: "tmpfs", [])
      container.bind(site.place + "/file", "/other/file")
      try expectEqual(try container.printed(), "directory\nfile", "what the container sees")
    },
    oci(
      "config.mount.relative-destination", "a relative destination is one below the root", "config.md, mounts; CF-05", why: "Not below the runtime's directory."
    ) { site in
      let container = try site.container("grep -q ' /data ' /proc/mounts && echo mounted")
      container.mount("data", type: "tmpfs", source: "tmpfs", [])
      try expectEqual(try container.printed(), "mounted", "what is at /data")
    },
    oci(
      "config.mount.symlink-destination", "a destination that is a symbolic link stays in the root", "config.md, mounts; RT-O13",
      why: "The image made the link: it must not choose a place on the host.", threads: ["opencontainers/runc#2197"]
    ) { site in
      try Files.makeDirectories(site.place + "/outside")
      let container = try site.container("true")
      guard symlink(site.place + "/outside", container.rootfs + "/link") == 0 else { throw SuiteError("symlink") }
      container.mount("/link", type: "tmpfs", source: "tmpfs", [])
      let before = OCISite.mountPoints()
      if try !container.tryCreate().failed { _ = try container.tryVerb("start") }
      try expectEqual(OCISite.mountPoints().subtracting(before).filter { $0.hasSuffix("/outside") }.sorted(), [], "mounts on the host's side")
    },
    oci(
      "config.mount.missing-source", "a bind mount whose source is missing is an error", "config.md, mounts; RT-O15, RT-L10",
      why: "Data would be written into nowhere."
    ) { site in
      let container = try site.container()
      container.bind(site.place + "/not-there", "/data")
      try expectRefused(try container.tryCreate(), "create with a bind mount of a source that is missing")
    },
    oci(
      "config.mount.unknown-type", "a file system that the kernel does not know is an error", "config.md, mounts; RT-O15",
      why: "The container would run without it."
    ) { site in
      let container = try site.container()
      container.mount("/data", type: "nosuchfs", source: "none", [])
      try expectRefused(try container.tryCreate(), "create with a mount of the type nosuchfs")
    },
    oci(
      "config.mount.bad-option", "an option that neither runtime nor file system knows is an error", "config.md, mounts; CF-08, CF-21",
      why: "A typing error in `noexec` would be less safety."
    ) { site in
      let container = try site.container()
      container.mount("/data", type: "tmpfs", source: "tmpfs", ["no-such-option"])
      try expectRefused(try container.tryCreate(), "create with the mount option no-such-option")
    },
    oci(
      "config.mount.private", "what a container mounts is not seen on the host", "config.md, mounts; LX-04",
      why: "Leftovers on the host, and a way to hide its files."
    ) { site in
      let container = try site.container("mount -t tmpfs none /data && echo mounted; sleep 100") {
        for set in ["bounding", "effective", "permitted"] { $0["process"]["capabilities"][set].append("CAP_SYS_ADMIN") }
      }
      let before = OCISite.mountPoints()
      try container.begin()
      try container.awaitOutput("mounted")
      try expectEqual(OCISite.mountPoints().subtracting(before).sorted(), [], "mounts of the container's on the host")
    },
    oci(
      "config.masked.paths", "masked files and directories show nothing, and missing ones are no error", "config-linux.md, maskedPaths; LX-31",
      why: "They hide the host's secrets: keys, timers, memory."
    ) { site in
      let container = try site.container("cat /data/file; ls /data/dir; cat /data/dir/inner 2>/dev/null; echo end")
      try Files.makeDirectories(container.rootfs + "/data/dir")
      try write("secret", to: container.rootfs + "/data/file")
      try write("secret", to: container.rootfs + "/data/dir/inner")
      container.config["linux"]["maskedPaths"] = ["/data/file", "/data/dir", "/data/not-there"]
      try expectEqual(try container.printed(), "end", "what can be read of masked paths")
    },
    oci(
      "config.readonly.paths", "read-only paths cannot be written, and missing ones are no error", "config-linux.md, readonlyPaths; LX-32",
      why: "They keep the container from changing the kernel's settings."
    ) { site in
      let container = try site.container(
        "touch /data/dir/new 2>/dev/null && echo wrote-dir; { echo x >/data/file; } 2>/dev/null && echo wrote-file; cat /data/file")
      try Files.makeDirectories(container.rootfs + "/data/dir")
      try write("kept", to: container.rootfs + "/data/file")
      container.config["linux"]["readonlyPaths"] = ["/data/file", "/data/dir", "/data/not-there"]
      try expectEqual(try container.printed(), "kept", "what could be written below read-only paths")
    },
    oci(
      "config.devices.default", "null, zero, full, random, urandom and tty are there, and are what they are called", "config-linux.md, devices; LX-11",
      why: "Programs open them without asking."
    ) { site in
      let names = ["null", "zero", "full", "random", "urandom", "tty"]
      let container = try site.container("for d in \(names.joined(separator: " ")); do stat -c \"%n %F %t:%T\" /dev/$d; done")
      let lines = try container.printed().split(separator: "\n").map(String.init)
      let numbers = ["null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"]
      try expectEqual(lines, names.map { "/dev/\($0) character special file \(numbers[$0] ?? "")" }, "the default devices")
    },
    oci(
      "config.devices.links", "/dev/fd, stdin, stdout and stderr lead to the process's descriptors, ptmx to its terminals",
      "config-linux.md, devices; LX-12, LX-11",
      why: "Shells and servers write to /dev/stderr."
    ) { site in
      let container = try site.container("for d in fd stdin stdout stderr; do readlink /dev/$d; done; test -e /dev/ptmx -o -h /dev/ptmx && echo ptmx")
      try expectEqual(
        try container.printed().split(separator: "\n").map(String.init), ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "ptmx"],
        "the links in /dev")
    },
    oci(
      "config.devices.configured", "a configured device is there with its numbers, mode and owner", "config-linux.md, devices; LX-10",
      why: "A container for a device needs it."
    ) { site in
      let container = try site.container("stat -c '%F %t:%T %a %u:%g' /dev/mine")
      container.config["linux"]["devices"] = [
        ["path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8]
      ]
      try expectEqual(try container.printed(), "character special file 1:5 640 7:8", "the device")
    },
  ]
}
