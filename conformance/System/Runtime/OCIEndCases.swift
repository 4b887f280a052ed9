import CLinux
import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  static let ending: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "oci.kill.exact-signal", "the container's process gets the signal that was asked for, by name or number", "runtime.md, kill; RT-O32",
      why: "Programs reload on HUP, end in order on TERM and print their state on USR1."
    ) { site in
      let script = "trap 'echo HUP' HUP; trap 'echo TERM' TERM; trap 'echo USR1' USR1; trap 'echo USR2' USR2; echo ready; while :; do sleep 0.05; done"
      let container = try site.container(script)
      try container.begin()
      try container.awaitOutput("ready")
      for (signal, name) in [("TERM", "TERM"), ("SIGHUP", "HUP"), ("10", "USR1"), ("USR2", "USR2")] {
        try container.kill(signal)
        let seen = waitUntil(within: site.seconds(5)) { container.lines.last == name }
        try expect(seen, "after `kill \(signal)` the program must have got \(name); the signals that it got: \(container.lines.dropFirst())")
      }
      try expectEqual(container.lines, ["ready", "TERM", "HUP", "USR1", "USR2"], "the signals that the program got")
      try container.expectStatus("running", "after signals that the program handles")
    },
    oci(
      "oci.kill.kill", "KILL ends the container's process, and state says stopped", "runtime.md, kill; RT-O32, RT-L04",
      why: "The last resort must work."
    ) { site in
      let container = try site.container("trap '' TERM INT HUP; echo ready; while :; do sleep 0.1; done")
      try container.begin()
      try container.awaitOutput("ready")
      try container.kill("KILL")
      try expectEqual(try container.end(), 137, "how the process ended (128 and the signal)")
      try container.expectStatus("stopped", "after the end")
    },
    oci(
      "oci.kill.stopped", "kill of a stopped container is an error", "runtime.md, kill; RT-O31",
      why: "A yes makes callers wait for an end that has long been; worse, the pid may be somebody else's by now."
    ) { site in
      let container = try site.container("true")
      try container.run()
      try expectRefused(try container.tryVerb("kill", "KILL"), "kill of a stopped container")
      try container.expectStatus("stopped", "after the refused kill")
    },
    oci(
      "oci.kill.unknown", "kill of a container that does not exist is an error", "runtime.md, kill; RT-O31", why: "A yes would be a lie."
    ) { site in try expectRefused(try site.call("kill", ["none-\(site.mark)", "KILL"]), "kill of a container that does not exist") },
    oci(
      "oci.kill.bogus-signal", "a signal that does not exist is an error without effect", "runtime.md, kill; RT-O32, CF-21",
      why: "A typing error in a stop signal would be taken for a container that refuses to stop."
    ) { site in
      let container = try site.container()
      try container.begin()
      for signal in ["BOGUS", "SIGBOGUS", "999"] { try expectRefused(try container.tryVerb("kill", signal), "kill with the signal \(signal)") }
      try container.expectStatus("running", "after signals that do not exist")
      try expect(Children.lives(try container.pid()), "the container's process ended of a signal that does not exist")
    },
    oci(
      "oci.delete.running", "delete of a running container is an error without effect", "runtime.md, delete; RT-O41",
      why: "Deleting by mistake what works is what the rule is for."
    ) { site in
      let container = try site.container()
      try container.begin()
      try expectRefused(try container.tryVerb("delete"), "delete of a running container")
      try container.expectStatus("running", "after the refused delete")
      try expect(Children.lives(try container.pid()), "the refused delete ended the process")
    },
    oci(
      "oci.delete.created", "delete of a created container is an error without effect", "runtime.md, delete; RT-O41", level: .should,
      why: "The specification allows delete for stopped containers only. Every runtime in wide use deletes created ones as well, and callers have come to "
        + "rely on it: a deviation to know about rather than to mend."
    ) { site in
      let container = try site.container()
      try container.create()
      try expectRefused(try container.tryVerb("delete"), "delete of a created container")
      try container.expectStatus("created", "after the refused delete")
    },
    oci(
      "oci.delete.stopped", "delete removes the container, once, and its id is free", "runtime.md, delete; RT-O42, RT-O44",
      why: "A container that is half there blocks the next of its name."
    ) { site in
      let container = try site.container("echo ran")
      try container.run()
      try container.delete()
      try container.expectUnknown("after delete")
      try expectRefused(try container.tryVerb("delete"), "a second delete")
      try expectEqual(try Files.names(in: site.root).filter { $0 == container.id }, [], "entries of the container in the state root")
      let next = try site.container("echo next", id: container.id)
      try expectEqual(try next.run(), 0, "exit code of a second container with the id")
      try expectEqual(next.lines, ["next"], "what the second container printed")
    },
    oci(
      "oci.delete.unknown", "delete of a container that does not exist is an error", "runtime.md, delete; RT-O41", why: "A typing error must be told."
    ) { site in try expectRefused(try site.call("delete", ["none-\(site.mark)"]), "delete of a container that does not exist") },
    oci(
      "oci.delete.force", "delete --force ends what runs and removes it", "command line of runtimes; RT-O42",
      why: "Cleaning up after a crash goes this way."
    ) { site in
      let container = try site.container("trap '' TERM; sleep 100")
      try container.begin()
      let pid = try container.pid()
      try container.deleteForced()
      let gone = waitUntil(within: site.seconds(3)) { !Children.lives(pid) }
      try expect(gone, "process \(pid) lives on after delete --force")
      try container.expectUnknown("after delete --force")
    },
    oci(
      "oci.delete.keeps-foreign", "delete leaves alone what create did not make: bundle, sources of mounts, other files", "runtime.md, delete; RT-O43",
      why: "Volumes hold what users cannot get back."
    ) { site in
      try Files.makeDirectories(site.place + "/volume")
      try write("precious", to: site.place + "/volume/file")
      let container = try site.container("echo more >/data/more")
      container.bind(site.place + "/volume", "/data")
      try container.run()
      try container.delete()
      try expectEqual(contents(site.place + "/volume/file"), "precious", "the file in the mounted volume")
      try expectEqual(contents(site.place + "/volume/more"), "more\n", "what the container wrote into the volume")
      try expect(Files.exists(container.bundle + "/config.json") && Files.exists(container.rootfs + "/bin/busybox"), "the bundle was not left as it was")
      try site.expectSentinels(after: "delete")
    },
    oci(
      "oci.delete.no-mounts", "after delete there are the mounts that were before create", "runtime.md, delete; RT-O42, RT-L20",
      why: "A mount that stays keeps disks and snapshots busy: \"device or resource busy\" is the symptom, hours later."
    ) { site in
      let before = OCISite.mountPoints()
      let container = try site.container("true")
      container.mount("/data", type: "tmpfs", source: "tmpfs", [])
      container.bind(site.place, "/tmp")
      try container.run()
      try container.delete()
      try expectEqual(OCISite.mountPoints().subtracting(before).sorted(), [], "mounts left behind")
    },
    oci(
      "oci.delete.no-cgroup", "after delete the container's cgroups are gone, a cgroup that was there before is not", "runtime.md, delete; RT-O42, RT-O43",
      needs: [.cgroups], why: "Cgroups that stay slow the kernel down; a parent that goes takes the limits of others along."
    ) { site in
      let container = try site.container()
      try container.create()
      let cgroups = site.cgroups().filter { Files.exists("\($0)/\(container.id)") }
      try expect(!cgroups.isEmpty, "no cgroup \(site.mark)/\(container.id) while the container exists")
      try container.kill("KILL")
      _ = try container.end()
      try container.delete()
      try expectEqual(cgroups.filter { Files.exists("\($0)/\(container.id)") }, [], "cgroups left behind")
    },
    oci(
      "oci.delete.shared-pids", "without a pid namespace of its own, what the program started ends with delete --force", "runtime.md, delete; RT-O42",
      level: .should, needs: [.cgroups], why: "Nobody else knows these processes: they run until the machine is restarted.",
      threads: ["opencontainers/runc#4047", "opencontainers/runc#4040"]
    ) { site in
      let container = try site.container("sleep 100 & echo ready; wait") {
        $0["linux"]["namespaces"] = [["type": "mount"], ["type": "ipc"], ["type": "uts"]]
      }
      let before = Children.all()
      try container.begin()
      try container.awaitOutput("ready")
      try container.kill("KILL")
      _ = try container.end()
      try container.deleteForced()
      let gone = waitUntil(within: site.seconds(3)) { Children.all().subtracting(before).filter(Children.lives).isEmpty }
      try expect(gone, "processes of the container live on: \(Children.all().subtracting(before).sorted())")
    },
    oci(
      "oci.pause.freezes", "a paused container stands still until it is resumed, and delete --force removes it", "command line of runtimes; RT-O00",
      level: .should,
      needs: [.cgroups], why: "Snapshots of running containers rely on it."
    ) { site in
      let container = try site.container("while :; do echo tick; sleep 0.02; done")
      try container.begin()
      try container.awaitOutput("tick")
      let paused = try container.tryVerb("pause")
      try expect(!paused.failed, "pause failed: \(paused.errors)")
      try container.expectStatus("paused", "after pause")
      usleep(50_000)
      let before = container.output.count
      usleep(200_000)
      try expectEqual(container.output.count, before, "bytes that the paused program has printed")
      let resumed = try container.tryVerb("resume")
      try expect(!resumed.failed, "resume failed: \(resumed.errors)")
      try expect(waitUntil(within: site.seconds(5)) { container.output.count > before }, "the resumed program prints nothing")
      _ = try container.tryVerb("pause")
      try container.deleteForced()
      try container.expectUnknown("after delete --force of a paused container")
    },
  ]

  static let asking: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "oci.state.fields", "state prints the required fields", "runtime.md, state; RT-L02, RT-O03, RT-L08", why: "Callers parse them."
    ) { site in
      let container = try site.container()
      try container.create()
      let state = try container.state()
      try expectEqual(state["id"].text, container.id, "id")
      try expectEqual(state["status"].text, "created", "status")
      try expectEqual(state["bundle"].text, container.bundle, "bundle")
      try expect(state["ociVersion"].text != nil, "no ociVersion in \(state)")
      try expectEqual(state["pid"].number, Int(try container.pid()), "pid")
    },
    oci(
      "oci.state.version", "ociVersion is a version: three numbers and perhaps more", "runtime.md, state; RT-L02, CF-01",
      why: "Parsers of versions fail on others."
    ) { site in
      let container = try site.container()
      try container.create()
      let version = try container.state()["ociVersion"].text ?? ""
      let core = version.split(whereSeparator: { $0 == "-" || $0 == "+" }).first.map(String.init) ?? ""
      let numbers = core.split(separator: ".", omittingEmptySubsequences: false)
      try expect(numbers.count == 3 && numbers.allSatisfy { Int($0) != nil }, "ociVersion \"\(version)\" is not MAJOR.MINOR.PATCH")
    },
    oci(
      "oci.state.absolute-bundle", "the bundle is an absolute path, however it was given", "runtime.md, state; RT-L06",
      why: "Whoever asks for the state has another current directory."
    ) { site in
      let container = try site.container()
      try container.writeConfig()
      let name = String(container.bundle.split(separator: "/").last ?? "")
      let result = try container.createAsIs(options: ["--bundle", name, "--pid-file", container.pidFile]) { $0.directory = site.place }
      try expect(!result.failed, "create with a relative bundle failed: \(result.errors)")
      try expectEqual(try container.state()["bundle"].text, container.bundle, "bundle")
    },
    oci(
      "oci.state.annotations", "the state has the annotations of the configuration", "runtime.md, state; RT-L07, CF-18",
      why: "Hooks and callers find their settings there."
    ) { site in
      let container = try site.container()
      container.config["annotations"] = ["org.example.key": "value", "org.example.empty": ""]
      try container.create()
      let annotations = try container.state()["annotations"]
      try expectEqual(annotations["org.example.key"].text, "value", "annotation org.example.key")
      try expectEqual(annotations["org.example.empty"].text, "", "annotation org.example.empty")
    },
    oci(
      "oci.state.follows", "the status goes created, running, stopped", "runtime.md, state; RT-L04",
      why: "Callers poll it to find out what happened while they were away."
    ) { site in
      let container = try site.container("read line; echo $line")
      try container.create()
      try container.expectStatus("created", "after create")
      let other = try site.container()
      try other.begin()
      try other.expectStatus("running", "after start")
      try expectEqual(try other.state()["pid"].number, Int(try other.pid()), "pid while running")
      try other.kill("KILL")
      let seen = try waitUntil(within: site.seconds(5)) { try other.status() == "stopped" }
      let status = try other.status()
      try expect(seen, "5 s after KILL the status is \"\(status)\", expected \"stopped\" (its parent has not yet asked how it ended)")
      let pid = try other.state()["pid"].number ?? 0
      try expect(pid <= 0 || !Children.lives(Int32(pid)), "pid \(pid) of a stopped container")
    },
    oci(
      "oci.state.unknown", "state of a container that does not exist is an error", "runtime.md, state; RT-O02",
      why: "It is how callers find out that it is gone."
    ) { site in try expectRefused(try site.call("state", ["none-\(site.mark)"]), "state of a container that does not exist") },
    oci(
      "oci.exec.joins", "exec runs a further program in the container and gives its exit code", "command line of runtimes; RT-O00", level: .should,
      why: "Probes and debugging go this way."
    ) { site in
      let container = try site.container("hostname inside; sleep 100") {
        $0["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMIN")
        $0["process"]["capabilities"]["effective"].append("CAP_SYS_ADMIN")
        $0["process"]["capabilities"]["permitted"].append("CAP_SYS_ADMIN")
      }
      try container.begin()
      let named = waitUntil(within: site.seconds(5)) { contents("/proc/\((try? container.pid()) ?? 0)/cmdline").contains("sleep") }
      try expect(named, "the program did not get to its sleep")
      let result = try site.call("exec", [container.id, "/bin/sh", "-c", "hostname; exit 9"])
      try expectEqual(result.output, "inside\n", "what the further program printed (\(result.errors))")
      try expectEqual(result.code, 9, "exit code of exec")
    },
  ]
}
