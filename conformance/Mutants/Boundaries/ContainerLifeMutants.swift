import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import Protocols
import SystemKit

/// Daemons that run, mount or tell what is not theirs to.
enum ContainerLifeMutants {
  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout ContainerLifeSubject) -> Void
  ) -> Mutant {
    Mutant(
      id, sentence, in: .boundaries, on: "inproc:ref-daemon", kills: kills.map { "boundaries.daemon.\($0)" }, symptom: symptom, scope: ["boundaries.daemon"]
    ) { $0.wrap(ContainerLifeSubject.self) { change(&$0) } }
  }

  static let all: [Mutant] = [
    mutant("identity-life", "a daemon is left as it is", kills: []) { subject in
      let create = subject.create
      subject.create = { try await create($0) }
    },
    mutant("LB90", "a daemon starts what it shall create", kills: ["create-runs-nothing", "network-between"]) { subject in
      let (create, start) = (subject.create, subject.start)
      subject.create = { id in
        let pid = try await create(id)
        try await start(id)
        return pid
      }
      subject.start = { _ in }
    },
    mutant("LB91", "the network namespace is not made", kills: ["network-between"], symptom: "no network namespace of its own") { subject in
      let register = subject.register
      subject.register = { order in
        var order = order
        order.network = false
        try await register(order)
      }
    },
    mutant("LB92", "a second start is welcome", kills: ["start-once"], symptom: "a second start") { subject in
      let start = subject.start
      subject.start = { id in do { try await start(id) } catch let error as ContainerdError where error.code != .notFound {} }
    },
    mutant("LB93", "a daemon runs the program twice", kills: ["start-once", "create-runs-nothing"], symptom: "the program") { subject in
      let register = subject.register
      subject.register = { order in
        var order = order
        order.script = "\(order.script); \(order.script)"
        try await register(order)
      }
    },
    mutant("LB94", "the root file system is mounted when the container is made", kills: ["rootfs-mounted-for-the-task-alone"], symptom: "before it has a task")
    {
      subject in
      let points = subject.mountPoints
      let made = Kept(false)
      let create = subject.create
      subject.create = { id in
        made.set(true)
        return try await create(id)
      }
      subject.mountPoints = { id in made.now ? try points(id) : ["/run/\(id)/rootfs"] }
    },
    mutant("LB95", "the root file system stays mounted", kills: ["rootfs-mounted-for-the-task-alone"], symptom: "after its task was deleted") { subject in
      let place = subject.output + "-left"
      let (delete, points) = (subject.deleteTask, subject.mountPoints)
      subject.deleteTask = { id in
        try await delete(id)
        try Files.makeDirectories(place)
        try Mounts.mount(type: "tmpfs", source: "left", target: place, options: [])
      }
      subject.mountPoints = { id in
        let text = String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self)
        return try points(id) + (text.contains(" \(place) ") ? [place] : [])
      }
    },
    mutant("LB98", "the daemon performs the mounts itself", kills: ["shim-mounts"], symptom: "that its shim did not make") { subject in
      let register = subject.register
      subject.register = { order in
        var order = order
        order.shimApart = false
        try await register(order)
      }
    },
    mutant("LB96", "the start of a task is not told", kills: ["same-trace"], symptom: "the topics of a container's life") { subject in
      let topics = subject.topics
      subject.topics = { topics().filter { $0 != "/tasks/start" } }
    },
    mutant("LB97", "an end is told before the start", kills: ["same-trace"], symptom: "the topics of a container's life") { subject in
      let topics = subject.topics
      subject.topics = {
        var told = topics()
        if let start = told.lastIndex(of: "/tasks/start"), let exit = told.lastIndex(of: "/tasks/exit") { told.swapAt(start, exit) }
        return told
      }
    },
  ]
}
