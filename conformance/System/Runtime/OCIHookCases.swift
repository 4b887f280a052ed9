import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  public static let hooks: [ContractCase<OCIRuntimeSubject>] = hookOrder + hookFailures + hookDetails
  private static let createTime = ["prestart", "createRuntime", "createContainer"]

  static let hookOrder: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "hooks.order.create", "prestart, createRuntime and createContainer hooks run in this order, during create, once", "config.md, hooks; HK-10, HK-11, HK-12",
      why: "Networks are attached by the one and devices added by the next: each stands on what the ones before have done."
    ) { site in
      let hooked = try HookedContainer(site)
      for kind in createTime.reversed() { hooked.add(kind) }
      try hooked.container.create()
      try expectEqual(hooked.order, createTime, "what ran during create")
      try hooked.container.start()
      try hooked.awaitProgram()
      try expectEqual(hooked.order, createTime + ["program"], "what ran until the program")
    },
    oci(
      "hooks.order.start", "startContainer hooks run at start, before the program, and not at create", "config.md, hooks; HK-13, RT-L16",
      why: "They prepare what the program needs, such as the cache of its libraries."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("startContainer")
      try hooked.container.create()
      usleep(50_000)
      try expectEqual(hooked.order, [], "what ran during create")
      try hooked.container.start()
      try hooked.awaitProgram()
      try expectEqual(hooked.order, ["startContainer", "program"], "what ran during start")
    },
    oci(
      "hooks.order.poststart", "poststart hooks run at start, after the program has been executed and before start returns, not at create",
      "config.md, hooks; HK-14", why: "They announce a service: at create there is none.",
      threads: ["opencontainers/runc#4347", "opencontainers/runc#5186", "containers/crun#1562"]
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("poststart")
      try hooked.container.create()
      usleep(50_000)
      try expectEqual(hooked.order, [], "what ran during create")
      try hooked.container.start()
      try expect(hooked.order.contains("poststart"), "start returned before the poststart hook had run; what ran: \(hooked.order)")
    },
    oci(
      "hooks.order.poststop", "poststop hooks run at delete, before it returns, and not at the end of the program", "config.md, hooks; HK-15",
      why: "They take the network away; earlier somebody may still be looking at what is left, later the name is used again."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("poststop")
      try hooked.container.begin()
      try hooked.awaitProgram()
      try hooked.container.kill("KILL")
      _ = try hooked.container.end()
      usleep(50_000)
      try expectEqual(hooked.order, ["program"], "what ran before delete")
      try hooked.container.delete()
      try expectEqual(hooked.order, ["program", "poststop"], "what has run when delete returns")
    },
    oci(
      "hooks.order.listed", "hooks of one kind run in the order in which they are listed", "config.md, hooks; HK-03",
      why: "The second depends on what the first has made."
    ) { site in
      let hooked = try HookedContainer(site)
      for kind in createTime + ["startContainer", "poststop"] { for number in 1...3 { hooked.add(kind, "\(kind)-\(number)") } }
      try hooked.container.begin()
      try hooked.awaitProgram()
      try hooked.finish()
      let all = hooked.order.filter { $0 != "program" }
      try expectEqual(all, (createTime + ["startContainer", "poststop"]).flatMap { kind in (1...3).map { "\(kind)-\($0)" } }, "the order of the hooks")
    },
  ]

  static let hookFailures: [ContractCase<OCIRuntimeSubject>] =
    createTime.map { kind in
      oci(
        "hooks.failure.\(kind)", "a \(kind) hook that fails makes create fail, and nothing of the container is left",
        "runtime.md, lifecycle; RT-L13, RT-L14, RT-L15",
        why: "A container whose network could not be set up must not run without one."
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add(kind, kind, "exit 3")
        let children = Children.all()
        try expectRefused(try hooked.container.tryCreate(), "create with a \(kind) hook that fails")
        try expectEqual(hooked.order, [kind], "what ran")
        try hooked.container.expectUnknown("after create failed")
        let gone = waitUntil(within: site.seconds(3)) { Children.all().subtracting(children).filter(Children.lives).isEmpty }
        try expect(gone, "processes are left: \(Children.all().subtracting(children).sorted())")
      }
    }
    + createTime.map { kind in
      oci(
        "hooks.failure.\(kind)-poststop", "after a \(kind) hook that failed the poststop hooks run", "runtime.md, lifecycle; RT-L13, RT-L14, RT-L15, RT-L21",
        why: "What earlier hooks have made is taken back by poststop hooks, and by nobody else."
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add(kind, kind, "exit 3")
        hooked.add("poststop")
        try expectRefused(try hooked.container.tryCreate(), "create with a \(kind) hook that fails")
        try expectEqual(hooked.order, [kind, "poststop"], "what ran")
      }
    } + [
      oci(
        "hooks.failure.startContainer", "after a startContainer hook that fails the program does not run", "runtime.md, lifecycle; RT-L16",
        why: "It would run without what the hook was to prepare."
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add("startContainer", nil, "exit 3")
        try hooked.container.create()
        _ = try hooked.container.tryVerb("start")
        usleep(100_000)
        try expectEqual(hooked.order, ["startContainer"], "what ran")
      },
      oci(
        "hooks.failure.startContainer-reported", "a startContainer hook that fails makes start fail", "runtime.md, lifecycle; RT-L16", level: .should,
        why: "The caller believes that its program runs. (No runtime in wide use reports it.)"
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add("startContainer", nil, "exit 3")
        try hooked.container.create()
        try expectRefused(try hooked.container.tryVerb("start"), "start with a startContainer hook that fails")
      },
      oci(
        "hooks.failure.poststart", "a poststart hook that fails makes start fail (since version 1.3 of the specification)", "runtime.md, lifecycle; RT-L18",
        level: .should,
        why: "A service that could not be announced is found by nobody."
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add("poststart", nil, "exit 3")
        try hooked.container.create()
        try expectRefused(try hooked.container.tryVerb("start"), "start with a poststart hook that fails")
      },
      oci(
        "hooks.failure.poststop", "a poststop hook that fails is a warning: the next ones run, and delete goes on", "runtime.md, lifecycle; RT-L21, RT-L31",
        why: "What cleans up must clean up all it can.", threads: ["opencontainers/runc#1765", "youki-dev/youki#3407"]
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add("poststop", "first", "exit 3")
        hooked.add("poststop", "second")
        try hooked.container.begin()
        try hooked.awaitProgram()
        try hooked.finish()
        try expectEqual(hooked.order, ["program", "first", "second"], "what ran")
        try hooked.container.expectUnknown("after delete")
      },
      oci(
        "hooks.failure.stops-the-row", "after a hook that failed, the next one of its kind does not run", "config.md, hooks; HK-03", level: .quirk,
        why: "All runtimes agree, the specification does not say."
      ) { site in
        let hooked = try HookedContainer(site)
        hooked.add("createRuntime", "first", "exit 3")
        hooked.add("createRuntime", "second")
        try expectRefused(try hooked.container.tryCreate(), "create with a hook that fails")
        try expectEqual(hooked.order, ["first"], "what ran")
      },
    ]

  static let hookDetails: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "hooks.state.create", "hooks of create find id, pid, bundle and annotations in the state on their standard input", "config.md, hooks; HK-04, RT-L05",
      why: "It is all that a hook knows of its container."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.container.config["annotations"] = ["org.example.key": "value"]
      for kind in createTime { hooked.add(kind) }
      try hooked.container.create()
      let pid = Int(try hooked.container.pid())
      for kind in createTime {
        let state = try hooked.state(kind)
        try expectEqual(state["id"].text, hooked.container.id, "id in the state of \(kind)")
        try expectEqual(state["bundle"].text, hooked.container.bundle, "bundle in the state of \(kind)")
        try expectEqual(state["annotations"]["org.example.key"].text, "value", "annotation in the state of \(kind)")
        let status = state["status"].text ?? "none"
        try expect(["creating", "created"].contains(status), "status in the state of \(kind): expected creating or created, got \(status)")
        if kind != "createContainer" { try expectEqual(state["pid"].number, pid, "pid in the state of \(kind)") }
      }
    },
    oci(
      "hooks.state.poststop", "poststop hooks are told that the container is stopped", "config.md, hooks; HK-04, RT-L04",
      why: "One script often serves for all kinds: it goes by the status."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("poststop")
      try hooked.container.begin()
      try hooked.awaitProgram()
      try hooked.finish()
      let state = try hooked.state("poststop")
      try expectEqual(state["id"].text, hooked.container.id, "id in the state of poststop")
      try expectEqual(state["status"].text, "stopped", "status in the state of poststop")
    },
    oci(
      "hooks.namespaces.runtime", "prestart, createRuntime and poststop hooks run in the runtime's mount namespace", "config.md, hooks; HK-10, HK-11, HK-15",
      why: "They call the host's programs and read the host's files."
    ) { site in
      let hooked = try HookedContainer(site)
      for kind in ["prestart", "createRuntime", "poststop"] { hooked.add(kind, nil, "readlink /proc/self/ns/mnt >$N/\(kind).mnt") }
      try hooked.container.create()
      let own = try hooked.container.namespace("mnt")
      // Held open: the number of a namespace that is gone is given to the next.
      let held = try Files.open("/proc/\(try hooked.container.pid())/ns/mnt", O_RDONLY)
      defer { _ = held.raw }
      try hooked.container.start()
      try hooked.awaitProgram()
      try hooked.finish()
      for kind in ["prestart", "createRuntime", "poststop"] {
        let seen = hooked.note("\(kind).mnt")
        try expect(seen.hasPrefix("mnt:") && seen != own, "\(kind) ran in the mount namespace \"\(seen)\"; the container's is \(own)")
      }
    },
    oci(
      "hooks.namespaces.createContainer", "createContainer hooks run in the container's namespaces, with a program of the host's", "config.md, hooks; HK-12",
      why: "They mount what the container will see."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createContainer", nil, "readlink /proc/self/ns/mnt >$N/mnt; readlink /proc/self/ns/uts >$N/uts")
      try hooked.container.create()
      try expectEqual(hooked.note("mnt"), try hooked.container.namespace("mnt"), "mount namespace of createContainer")
      try expectEqual(hooked.note("uts"), try hooked.container.namespace("uts"), "UTS namespace of createContainer")
    },
    oci(
      "hooks.namespaces.startContainer", "startContainer hooks are found in the container's root and run in its namespaces", "config.md, hooks; HK-13",
      why: "The image brings the program."
    ) { site in
      let hooked = try HookedContainer(site)
      try write(
        "#!/bin/sh\necho inside >>/notes/order\nreadlink /proc/self/ns/mnt >/notes/mnt\n", to: hooked.container.rootfs + "/bin/only-inside", mode: 0o755)
      hooked.container.config["hooks"]["startContainer"] = [["path": "/bin/only-inside", "args": ["only-inside"], "env": ["PATH=/bin"]]]
      try hooked.container.create()
      let own = try hooked.container.namespace("mnt")
      try hooked.container.start()
      try hooked.awaitProgram()
      try expectEqual(hooked.order, ["inside", "program"], "what ran")
      try expectEqual(hooked.note("mnt"), own, "mount namespace of startContainer")
    },
    oci(
      "hooks.namespaces.usable", "a createRuntime hook can change the container's namespaces before the program runs", "config.md, hooks; HK-11",
      why: "This is how networks are attached."
    ) { site in
      let hooked = try HookedContainer(site, "hostname >/notes/hostname; echo program >>/notes/order; sleep 100")
      // In one line, so that sed finds the pid whatever the layout of the JSON.
      hooked.container.config["hooks"]["createRuntime"] = [
        [
          "path": "/bin/sh", "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
          "args": ["sh", "-c", "P=$(tr -d '\\n' | sed 's/.*\"pid\" *: *\\([0-9]*\\).*/\\1/'); nsenter -t $P -u hostname from-hook"],
        ]
      ]
      try hooked.container.begin()
      try hooked.awaitProgram()
      try expectEqual(hooked.note("hostname"), "from-hook", "the host name that the program sees")
    },
    oci(
      "hooks.environment.exact", "a hook gets the environment that is configured, and no other", "config.md, hooks; HK-04",
      why: "Secrets of the daemon's environment are none of the hook's business."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createRuntime", "env") {
        $0["args"] = ["sh", "-c", .string("tr '\\0' '\\n' </proc/$$/environ >\(hooked.notes)/environment")]
        $0["env"] = ["ONE=1", "TWO=zwei"]
      }
      try hooked.container.create()
      let seen = hooked.note("environment").split(separator: "\n").map(String.init).sorted()
      try expectEqual(seen, ["ONE=1", "TWO=zwei"], "environment of the hook")
    },
    oci(
      "hooks.arguments.first", "args[0] of a hook is what is configured, whatever its path", "config.md, hooks; HK-04",
      why: "Programs of many names go by it."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createRuntime") { $0["args"] = ["chosen-name", "-c", .string("tr '\\0' '\\n' </proc/$$/cmdline >\(hooked.notes)/cmdline")] }
      try hooked.container.create()
      try expectEqual(hooked.note("cmdline").split(separator: "\n").first.map(String.init), "chosen-name", "args[0] of the hook")
    },
    oci(
      "hooks.path.relative", "a hook whose path is relative is an error", "config.md, hooks; HK-01, CF-21",
      why: "It would be searched in whatever directory the runtime happens to be."
    ) { site in
      // By the PATH of the hook's environment, and from the bundle's directory.
      for path in ["sh", "rootfs/bin/sh"] {
        let hooked = try HookedContainer(site)
        hooked.add("createRuntime") { $0["path"] = .string(path) }
        try expectRefused(try hooked.container.tryCreate(), "create with a hook of the path `\(path)`")
        try expectEqual(hooked.order, [], "what ran")
      }
    },
    oci(
      "hooks.timeout.not-positive", "a hook's timeout of 0 or less is an error", "config.md, hooks; HK-02, CF-21",
      why: "Is it at once, or never? Runtimes differ."
    ) { site in
      for timeout in [0, -1] as [Int64] {
        let hooked = try HookedContainer(site)
        hooked.add("createRuntime") { $0["timeout"] = .int(timeout) }
        try expectRefused(try hooked.container.tryCreate(), "create with a hook's timeout of \(timeout)")
      }
    },
    oci(
      "hooks.timeout.enforced", "a hook that takes longer than its timeout is ended, and create fails", "config.md, hooks; HK-02, RT-L14",
      why: "Otherwise a hanging hook hangs the node."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createRuntime", nil, "exec sleep 9") { $0["timeout"] = 1 }
      let start = ContinuousClock.now
      try expectRefused(try hooked.container.tryCreate(), "create with a hook that takes longer than its timeout")
      let took = start.duration(to: .now)
      try expect(took < .seconds(site.seconds(6)), "create took \(took), the hook's timeout is 1 s: it was not enforced")
    },
    oci(
      "hooks.daemon", "a hook that leaves a process behind does not hold up create", "config.md, hooks; HK-11", why: "Hooks start helpers."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createRuntime", nil, "sleep 9 >/dev/null 2>&1 </dev/null &")
      let start = ContinuousClock.now
      try hooked.container.create()
      let took = start.duration(to: .now)
      try expect(took < .seconds(site.seconds(6)), "create took \(took): it waited for what the hook had left behind")
    },
    oci(
      "hooks.invalid-config", "hooks do not run for a configuration that is refused", "runtime.md, create; RT-O15, RT-O16", level: .should,
      why: "What they did would stay."
    ) { site in
      let hooked = try HookedContainer(site)
      hooked.add("createRuntime")
      hooked.container.config["process"]["rlimits"] = [["type": "RLIMIT_BOGUS", "soft": 1, "hard": 1]]
      let result = try hooked.container.tryCreate()
      try expectRefused(result, "create with an unknown rlimit")
      try expectEqual(hooked.order, [], "what ran")
    },
  ]
}
