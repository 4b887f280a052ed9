import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  static let starting: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "oci.start.runs-once", "start runs the program, once, with the streams that were given at create", "runtime.md, start; RT-O22, RT-L17",
      why: "A program that runs twice books twice."
    ) { site in
      let container = try site.container("echo ran; echo ran >>/ran")
      try container.create()
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      usleep(150_000)
      try expectEqual(contents(container.rootfs + "/ran"), "ran\n", "the marks that the program left, one a run")
      try expectEqual(container.output, "ran\n", "what came on the stream that create was given")
      try container.expectStatus("stopped", "after the end")
    },
    oci(
      "oci.start.same-process", "the program runs in the process that create made", "runtime.md; RT-L04, RT-L11",
      why: "The pid that create gave is what callers watch, and what networks were attached to."
    ) { site in
      let container = try site.container()
      try container.create()
      let (pid, namespace) = (try container.pid(), try container.namespace("pid"))
      try container.start()
      let seen = waitUntil(within: site.seconds(5)) { contents("/proc/\(pid)/cmdline").contains("sleep") }
      try expect(seen, "process \(pid) does not run the program: it is \"\(contents("/proc/\(pid)/cmdline"))\"")
      try expectEqual(try container.state()["pid"].number, Int(pid), "pid in the state after start")
      try expectEqual(try container.namespace("pid"), namespace, "pid namespace after start")
    },
    oci(
      "oci.start.from-elsewhere", "start needs nothing of the process that created: other directory, environment and streams", "runtime.md; RT-L01",
      why: "The daemon that created may have been restarted meanwhile."
    ) { site in
      let container = try site.container("pwd; echo ${SECRET:-none}")
      try container.create()
      let result = try site.call("start", [container.id]) { $0.directory = "/" }
      try expect(!result.failed, "start from another directory failed: \(result.errors)")
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.lines, ["/", "none"], "directory and environment of the program")
    },
    oci(
      "oci.start.running", "start of a running container is an error without effect", "runtime.md, start; RT-O21",
      why: "A caller that retries must not run the program a second time."
    ) { site in
      let container = try site.container("echo ran >>/ran; sleep 100")
      try container.begin()
      _ = waitUntil(within: site.seconds(5)) { Files.exists(container.rootfs + "/ran") }
      try expectRefused(try container.tryVerb("start"), "start of a running container")
      usleep(100_000)
      try expectEqual(contents(container.rootfs + "/ran"), "ran\n", "the marks that the program left, one a run")
      try container.expectStatus("running", "after the refused start")
    },
    oci(
      "oci.start.stopped", "start of a stopped container is an error without effect", "runtime.md, start; RT-O21",
      why: "An end that was reported cannot be undone; to run again is a new container."
    ) { site in
      let container = try site.container("echo ran >>/ran")
      try container.run()
      try expectRefused(try container.tryVerb("start"), "start of a stopped container")
      usleep(100_000)
      try expectEqual(contents(container.rootfs + "/ran"), "ran\n", "the marks that the program left, one a run")
      try container.expectStatus("stopped", "after the refused start")
    },
    oci(
      "oci.start.unknown", "start of a container that does not exist is an error", "runtime.md, start; RT-O21", why: "A yes would be a lie."
    ) { site in try expectRefused(try site.call("start", ["none-\(site.mark)"]), "start of a container that does not exist") },
    oci(
      "oci.start.killed-before", "what was killed before its start cannot be started, and never ran", "runtime.md; RT-O21, RT-O32",
      why: "Cancelling between create and start is how callers give up; the program must not come alive afterwards."
    ) { site in
      let container = try site.container("echo ran >/ran")
      try container.create()
      try container.kill("KILL")
      try expectEqual(try container.end(), 137, "how the created container's process ended")
      try container.expectStatus("stopped", "after the kill")
      try expectRefused(try container.tryVerb("start"), "start after the kill")
      try expect(!Files.exists(container.rootfs + "/ran"), "the program ran although it was killed before its start")
    },
    oci(
      "oci.exit.codes", "the program's exit code is what its parent learns", "runtime.md; RT-L19, RT-L17",
      why: "Restart policies and jobs decide by it."
    ) { site in
      for code in [0, 1, 7, 126, 127, 255] as [Int32] {
        let container = try site.container("exit \(code)")
        try expectEqual(try container.run(), code, "exit code")
      }
    },
    oci(
      "oci.start.stdin", "the program reads what create was given as standard input", "runtime.md; RT-O22, LX-13",
      why: "A program that waits on the wrong stream hangs for ever."
    ) { site in
      let container = try site.container("cat; echo end")
      try write("words for the program\n", to: container.bundle + "/in")
      try container.writeConfig()
      let result = try container.createAsIs { $0.stdin = container.bundle + "/in" }
      try expect(!result.failed, "create failed: \(result.errors)")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.lines, ["words for the program", "end"], "what the program read and printed")
    },
    oci(
      "oci.start.streams-apart", "standard output and standard error are not mixed", "runtime.md; RT-O22, LX-13", why: "Logs are parsed."
    ) { site in
      let container = try site.container("echo out; echo err >&2")
      try expectEqual(try container.run(), 0, "exit code")
      try expectEqual(container.output, "out\n", "standard output")
      try expect(container.errors.contains("err\n") && !container.errors.contains("out"), "standard error: \"\(container.errors)\"")
    },
    oci(
      "oci.start.descriptors", "the program finds descriptors 0 to 2 open and no other, whatever the caller holds", "config-linux.md; LX-13",
      why: "A descriptor of the host's in the container is a way out of it.", threads: ["opencontainers/runc#4184"]
    ) { site in
      let container = try site.container("for f in /proc/1/fd/*; do echo ${f##*/} $(readlink $f); done")
      try write("secret", to: site.place + "/secret")
      container.extra = (9, site.place + "/secret")
      let lines = try container.printed().split(separator: "\n").map(String.init)
      // The shell's own pipes for `$(…)` lead nowhere but to itself.
      let foreign = lines.filter { line in
        let words = line.split(separator: " ", maxSplits: 1)
        guard let number = words.first.flatMap({ Int($0) }), number > 2, words.count > 1 else { return false }
        return !words[1].hasPrefix("pipe:")
      }
      try expectEqual(foreign, [], "descriptors beyond 2 in the container")
    },
    oci(
      "oci.start.no-host-directory", "the program's directory is inside of the container", "config-linux.md; LX-13, CF-11",
      why: "A working directory on the host's side is a way out.", threads: ["opencontainers/runc#4184"]
    ) { site in
      for number in 3...9 {
        let container = try site.container("pwd; ls -d /proc/self/cwd/data")
        container.config["process"]["cwd"] = "/proc/self/fd/\(number)"
        let created = try container.tryCreate()
        if created.failed { continue }
        if try container.tryVerb("start").failed { continue }
        _ = try container.end()
        let outside = contents(container.bundle + "/out")
        try expect(!outside.contains("unreachable") && !outside.contains(site.place), "cwd /proc/self/fd/\(number) led to \(outside)")
      }
    },
  ]
}
