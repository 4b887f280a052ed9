import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  static let creating: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "oci.create.runs-nothing", "create makes the environment and runs nothing of the user's", "runtime.md, create; RT-L11, RT-O14",
      why: "Between create and start callers attach networks and volumes; a program that runs earlier sees a half-made world, and start no longer decides."
    ) { site in
      let container = try site.container("echo ran; echo ran >/ran")
      try container.create()
      usleep(300_000)
      try expect(!Files.exists(container.rootfs + "/ran"), "the program ran during create: it left its mark in the root file system")
      try expectEqual(container.output, "", "what the program printed before start")
      try container.expectStatus("created", "after create")
      let pid = try container.pid()
      try expect(Children.lives(pid), "no process of pid \(pid) holds the created environment")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expect(Files.exists(container.rootfs + "/ran"), "the program did not run after start")
    },
    oci(
      "oci.create.environment-exists", "when create returns, the namespaces and mounts are there", "runtime.md, create; RT-L10, RT-O13",
      why: "Callers enter the namespaces by the pid that create gave, to set up the network before the program runs."
    ) { site in
      let container = try site.container()
      container.mount("/data", type: "tmpfs", source: "tmpfs", ["nosuid"])
      try container.create()
      for name in ["pid", "mnt", "ipc", "uts"] {
        try expect(
          try container.namespace(name) != namespaceOfProcess("self", name), "after create the container's process has no \(name) namespace of its own")
      }
      try expect(try container.mountTable().keys.contains { $0.hasSuffix("/data") }, "after create the configured mount /data is not to be seen")
    },
    oci(
      "oci.create.config-edited", "what is changed in config.json after create has no effect", "runtime.md, lifecycle; RT-L12, RT-O17",
      why: "A bundle that is prepared for the next container, or changed by an attacker, must not change the one that was checked and created."
    ) { site in
      let container = try site.container("echo first $WORD")
      container.config["process"]["env"] = ["PATH=/bin", "WORD=one"]
      try container.create()
      var changed = container.config
      changed["process"]["args"] = ["/bin/sh", "-c", "echo second $WORD"]
      changed["process"]["env"] = ["PATH=/bin", "WORD=two"]
      try container.writeConfig(text: changed.serialized())
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.lines, ["first one"], "what the program printed")
    },
    oci(
      "oci.create.config-removed", "a created container starts although config.json is gone", "runtime.md, lifecycle; RT-L12", level: .should,
      why: "Callers remove bundles early, or keep them in temporary directories."
    ) { site in
      let container = try site.container("echo ran")
      try container.create()
      try Files.removeTree(container.bundle + "/config.json")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.lines, ["ran"], "what the program printed")
    },
    oci(
      "oci.create.duplicate-id", "an id that is taken is refused, and its container is not touched", "runtime.md, create; RT-O11, RT-L03",
      why: "Two callers that choose one name would otherwise share, or overwrite, one container's state."
    ) { site in
      let first = try site.container("echo first")
      try first.create()
      let pid = try first.pid()
      let second = try site.container("echo second", id: first.id)
      try expectRefused(try second.tryCreate(options: ["--bundle", second.bundle]), "create with an id that is taken")
      try first.expectStatus("created", "of the first container after the refused create")
      try expectEqual(try first.state()["pid"].number, Int(pid), "pid of the first container")
      try first.start()
      try expectEqual(try first.end(), 0, "exit code of the first container")
      try expectEqual(first.lines, ["first"], "what the first container's program printed")
    },
    oci(
      "oci.create.failed-leaves-nothing", "a create that fails leaves no container, process, mount or cgroup", "runtime.md, errors; RT-L30, RT-O15",
      why: "Leftovers hold the id, the cgroup and the disk for ever: nobody knows that they have to be removed.",
      threads: ["opencontainers/runc#4534", "opencontainers/runc#4645"]
    ) { site in
      let children = Children.all()
      let mounts = OCISite.mountPoints()
      let container = try site.container("echo ran")
      container.bind(site.place + "/not-there", "/data")
      try expectRefused(try container.tryCreate(), "create with a bind mount of a source that is missing")
      try container.expectUnknown("after the failed create")
      try expect(!Files.exists("\(site.root)/\(container.id)"), "the failed create left \(site.root)/\(container.id)")
      let gone = waitUntil(within: site.seconds(3)) { Children.all().subtracting(children).filter(Children.lives).isEmpty }
      try expect(gone, "the failed create left processes: \(Children.all().subtracting(children).sorted())")
      try expectEqual(OCISite.mountPoints().subtracting(mounts).sorted(), [], "mounts left by the failed create")
      let leftCgroups = site.cgroups().filter { Files.exists("\($0)/\(container.id)") }
      try expectEqual(leftCgroups, [], "cgroups left by the failed create")
      container.config = OCIContainer.basic("echo again", cgroup: "/\(site.mark)/\(container.id)")
      try expectEqual(try container.run(), 0, "exit code of a good container with the id of the failed one")
    },
    oci(
      "oci.create.no-bundle", "a bundle that is not there, or holds no config.json, is refused", "runtime.md, create; bundle.md; RT-O10, CF-24",
      why: "A runtime that goes on with defaults runs something that nobody asked for."
    ) { site in
      let container = try site.container()
      try expectRefused(try container.createAsIs(), "create from a bundle without config.json")
      try container.expectUnknown("after create without config.json")
      try expectRefused(try container.createAsIs(options: ["--bundle", site.place + "/nowhere"]), "create from a bundle that does not exist")
      try container.expectUnknown("after create from a bundle that does not exist")
    },
    oci(
      "oci.create.not-json", "a config.json that is not JSON is refused", "config.md; RT-O15, CF-21",
      why: "Half a file, cut by a full disk, must not become half a container."
    ) { site in
      let container = try site.container()
      let text = try container.config.serialized()
      for (what, broken) in [("empty", ""), ("cut in the middle", String(text.prefix(text.count / 2))), ("a list", "[]")] {
        try container.writeConfig(text: broken)
        try expectRefused(try container.createAsIs(), "create with a config.json that is \(what)")
        try container.expectUnknown("after create with a config.json that is \(what)")
      }
    },
    oci(
      "oci.create.no-process", "without `process` nothing is started: start is an error, if create was none", "runtime.md, start; RT-O23, CF-10",
      why: "A start that says yes and runs nothing makes its caller wait for an end that never comes."
    ) { site in
      let container = try site.container()
      container.config.remove("process")
      if try !container.tryCreate().failed { try expectRefused(try container.tryVerb("start"), "start of a container without `process`") }
    },
    oci(
      "oci.create.missing-program", "a program that does not exist is an error at create or at start, and nothing stays running",
      "runtime.md, errors; RT-O22, RT-L30",
      why: "A silent failure looks like a program that ended at once."
    ) { site in
      let container = try site.container()
      container.config["process"]["args"] = ["/bin/no-such-program"]
      if try container.tryCreate().failed { return }
      try expectRefused(try container.tryVerb("start"), "start of a program that does not exist")
      let result = try container.tryVerb("state")
      if !result.failed {
        let status = try JSON(parsing: result.output)["status"].text ?? ""
        try expect(status != "running", "the container without a program is \"running\"")
      }
    },
    oci(
      "oci.create.pid-file", "--pid-file holds the pid that state tells, when create returns", "command line of runtimes; RT-L02",
      why: "containerd's shim and conmon read the file at once: an empty or late one loses the container."
    ) { site in
      let container = try site.container()
      try container.create()
      let text = contents(container.pidFile)
      try expectEqual(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), try container.state()["pid"].number, "the pid in the pid file (\"\(text)\")")
      try expect(Children.lives(try container.pid()), "no process \(text) lives")
    },
    oci(
      "oci.create.here", "without --bundle the bundle is the current directory", "command line of runtimes; RT-O10", level: .should,
      why: "Scripts and containerd's older callers change into the bundle."
    ) { site in
      let container = try site.container("echo here")
      try container.writeConfig()
      let result = try container.createAsIs(options: ["--pid-file", container.pidFile]) { $0.directory = container.bundle }
      try expect(!result.failed, "create in the bundle's directory failed: \(result.errors)")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.lines, ["here"], "what the program printed")
    },
    oci(
      "oci.create.silent", "a create that succeeds prints nothing where the program will print", "command line of runtimes; RT-L31",
      why: "The streams of create are the program's: what the runtime writes there corrupts its output."
    ) { site in
      let container = try site.container("echo the program")
      try container.create()
      try expectEqual(container.output, "", "what create wrote on the program's standard output")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expectEqual(container.output, "the program\n", "all that came on standard output")
    },
    oci(
      "oci.create.error-message", "an error has an exit code and a message", "runtime.md, errors; RT-L30",
      why: "\"exit status 1\" is all that a user gets to see otherwise.", threads: ["opencontainers/runtime-tools#813"]
    ) { site in
      let container = try site.container()
      container.bind(site.place + "/not-there", "/data")
      let result = try container.tryCreate()
      try expectRefused(result, "create with a bind mount of a source that is missing")
      try expect(!(result.errors + result.output).isEmpty, "create failed with exit code \(result.code) and no word why")
    },
    oci(
      "oci.create.race", "of many that create one id, exactly one does", "runtime.md, create; RT-L03, RT-O11", level: .should,
      why: "Two callers that both believe they own the container."
    ) { site in
      let id = "r-\(site.mark)"
      let contenders = try (0..<5).map { try site.container("echo \($0)", id: id) }
      for contender in contenders { try contender.writeConfig() }
      let results = Together.run(contenders) { try $0.createAsIs().code }
      let winners = results.filter { $0 == 0 }.count
      let result = try contenders[0].tryVerb("state")
      let status = result.failed ? "not there" : try JSON(parsing: result.output)["status"].text ?? "without status"
      try expect(
        winners == 1 && status == "created",
        "of \(contenders.count) creations of one id at once \(winners) succeeded and the container is \(status); expected: one succeeds, it is created")
    },
    oci(
      "oci.create.parallel", "containers with different ids can be created, started and deleted at once", "runtime.md; RT-O12",
      why: "A node starts dozens of containers at once after a reboot."
    ) { site in
      let containers = try (0..<6).map { try site.container("echo \($0)") }
      let results = Together.run(containers) { container -> String in
        let code = try container.run()
        try container.delete()
        return "\(code) \(container.output)"
      }
      try expectEqual(results, (0..<6).map { "0 \($0)\n" }, "exit codes and outputs")
    },
  ]
}

/// Work on several containers at once, a thread each. A container is only touched by its thread.
enum Together {
  private final class Box<Value>: @unchecked Sendable {  // each thread writes its own element, read after all have ended
    var value: Value
    init(_ value: Value) { self.value = value }
  }

  static func run<Value>(_ containers: [OCIContainer], _ body: @escaping (OCIContainer) throws -> Value) -> [Value?] {
    let work = Box((containers, body))
    let results = containers.map { _ in Box<Value?>(nil) }
    let group = DispatchGroup()
    for number in containers.indices {
      group.enter()
      let (work, result) = (work, results[number])
      Thread.detachNewThread {
        // A failure is a missing value: the case says what must be there.
        result.value = try? work.value.1(work.value.0[number])
        group.leave()
      }
    }
    group.wait()
    return results.map(\.value)
  }
}
