import BlockingIO
import CLinux
import ConformanceSuites
import Glibc
import Protocols
import Synchronization
import SystemKit

extension BoundarySuite {
  static let mounting: [ContractCase<PipelineSubject>] = [
    ContractCase(
      "boundaries.mounts.unread", "mounts go from the snapshotter to the applier as they are, even of a type that nobody has heard of",
      "\(law) 3, 5; LB-03; LAW-03, LAW-05",
      why: "a backend whose mounts are not the overlay that somebody expected cannot be used: FUSE, a block device, a virtual machine"
    ) { subject in
      try await subject.scene(change: { $0.snapshotter = StrangeMounts(base: $0.snapshotter, trap: "/not/there") }) { scene in
        try await scene.unpack()
        let prepared = scene.tape.calls.filter { $0.name == "snapshots.prepare" }.map(\.mounts)
        let applied = scene.tape.calls(named: "applier.apply").map(\.mounts)
        try expectEqual(applied.map(words), prepared.map(words), "the mounts that the applier got, for those that the snapshotter gave")
        try await scene.expectWhole("with mounts of an unknown type")
      }
    },
    ContractCase(
      "boundaries.mounts.options-not-followed", "a directory that stands in a mount's options is not opened by anybody but the applier",
      "\(law) 3, 5; LB-03; LAW-03, LAW-05",
      why: "options belong to whoever performs the mount: read by others they are a path into a backend's storage"
    ) { subject in
      let trap = subject.directory + "/trap"
      try await DedicatedThread.run { for name in ["upper", "work", "lower"] { try Files.makeDirectories("\(trap)/\(name)") } }
      try await subject.scene(change: { $0.snapshotter = StrangeMounts(base: $0.snapshotter, trap: trap) }) { scene in
        let watched = try await DedicatedThread.run { try WatchedDirectory([trap]) }
        try await scene.unpack()
        let seen = try watched.seen()
        try expect(seen.isEmpty, "while an image was unpacked through a pretended applier \(seen.prefix(4).joined(separator: ", "))")
      }
    },
    ContractCase(
      "boundaries.mounts.whole", "several mounts are handed on together, all of them and in their order", "\(law) 5; Mount; MNT-01; LAW-05",
      why: "half a root file system is worse than none: files go where nobody looks for them"
    ) { subject in
      try await subject.scene(change: { $0.snapshotter = StrangeMounts(base: $0.snapshotter, trap: "/not/there", count: 3) }) { scene in
        try await scene.unpack()
        let prepared = scene.tape.calls.filter { $0.name == "snapshots.prepare" }.map(\.mounts)
        let applied = scene.tape.calls(named: "applier.apply").map(\.mounts)
        try expectEqual(applied.map(words), prepared.map(words), "the mounts that the applier got, for those that the snapshotter gave")
      }
    },
    ContractCase(
      "boundaries.mounts.targets", "a mount's place below the root is handed on", "\(law) 5; Mount.target; MNT-01; LAW-05", level: .should,
      why: "a backend that puts a tree together of several mounts has them all on top of one another"
    ) { subject in
      try await subject.scene(change: { $0.snapshotter = StrangeMounts(base: $0.snapshotter, trap: "/not/there", count: 2, targets: true) }) { scene in
        try await scene.unpack()
        let prepared = scene.tape.calls.filter { $0.name == "snapshots.prepare" }.map { $0.mounts.map(\.target) }
        let applied = scene.tape.calls(named: "applier.apply").map { $0.mounts.map(\.target) }
        try expectEqual(applied, prepared, "the targets of the mounts that the applier got")
      }
    },
    ContractCase(
      "boundaries.mounts.run-hands-on", "mounts go from the snapshotter to the runtime as they are, and nobody performs them on the way",
      "\(law) 5; LB-03, LB-08; LAW-05",
      why: "a root file system that the daemon mounts is lost, or stays for ever, when the daemon is restarted", threads: ["containerd/containerd#8563"]
    ) { subject in
      guard let run = subject.run else { throw CaseSkipped(.capability, "the pipeline runs no containers") }
      try await subject.scene(image: PipelineImage(salt: 5)) { scene in
        try await scene.unpack()
        scene.tape.rewind()
        let before = try mountTable()
        let during = Mutex<[String]>([])
        scene.tape.watch { call, begins in
          if begins, call.name == "runtime.create", let now = try? mountTable() { during.withLock { $0 = now } }  // what cannot be read is seen below
        }
        var parts = scene.parts
        parts.snapshotter = RecordedSnapshotter(base: StrangeMounts(base: scene.raw.snapshotter, trap: "/not/there"), tape: scene.tape)
        let given = parts
        let top = scene.image.top
        try await inTime("running a container") { try await run(top, given) }
        let prepared = scene.tape.calls.filter { ["snapshots.prepare", "snapshots.mounts"].contains($0.name) && $0.arguments[0] != top }.last
        guard let created = scene.tape.calls(named: "runtime.create").first else { throw Mismatch(description: "the runtime was never asked to create") }
        guard let prepared else { throw Mismatch(description: "no snapshot was prepared for the container") }
        try expectEqual(words(created.mounts), words(prepared.mounts), "the mounts that the runtime got, for those that the snapshotter gave")
        try expectEqual(during.withLock { $0 }.filter { !before.contains($0) }, [], "mounts that were there when the runtime was asked to create")
      }
    },
    ContractCase(
      "boundaries.mounts.run-knows-nothing-else", "the runtime gets an id, a spec and mounts: no digest, no image, no key of a snapshot",
      "\(law) 1; Runtime, law 6; LB-07; LAW-01", why: "a runtime that is told of images cannot run anything else"
    ) { subject in
      guard let run = subject.run else { throw CaseSkipped(.capability, "the pipeline runs no containers") }
      try await subject.scene(image: PipelineImage(salt: 5)) { scene in
        try await scene.unpack()
        scene.tape.rewind()
        let (top, parts) = (scene.image.top, scene.parts)
        try await inTime("running a container") { try await run(top, parts) }
        let calls = scene.tape.calls(of: .runtime)
        let steps = calls.map(\.operation).filter { ["create", "start", "delete"].contains($0) }
        try expectEqual(steps, ["create", "start", "delete"], "the steps of the container's life")
        let words = scene.image.descriptors.map { $0.digest.hex } + scene.image.layers.map(\.chain) + [scene.reference]
        for call in calls {
          for argument in call.arguments {
            if let word = words.first(where: argument.contains) { throw Mismatch(description: "the runtime was told \"\(word)\": \(call)") }
          }
        }
        try expectEqual(try await scene.holdings().active, [], "active snapshots after the container is gone")
      }
    },
    ContractCase(
      "boundaries.mounts.applier-writes-where-told", "an applier finds its tree by the mounts alone, wherever they lead", "\(law) 3; LB-02, LB-03; LAW-03",
      needs: [.files],
      why: "an applier that guesses a backend's paths writes into another tree, or into nothing"
    ) { subject in
      // The tree is reached through a bind of a bind: no path that could be guessed leads to it.
      let alias = subject.directory + "/alias"
      let decoy = subject.directory + "/decoy"
      try await DedicatedThread.run { for place in [alias, decoy + "/fs"] { try Files.makeDirectories(place) } }
      try await subject.scene(
        PipelineChoice(snapshots: .plain, applier: .real),
        change: { parts in
          parts.snapshotter = AliasedMounts(base: parts.snapshotter, alias: alias, decoy: decoy)
        }
      ) { scene in
        let watched = try await DedicatedThread.run { try WatchedDirectory([decoy]) }
        let failure = try await scene.failure { try await scene.unpack() }
        try await AliasedMounts.end(alias)
        try expect(failure == nil, "with mounts that lead through another path the unpacking failed: \(failure?.description ?? "")")
        let seen = try watched.seen()
        try expect(seen.isEmpty, "a directory that was only an option's value was touched: \(seen.prefix(3).joined(separator: ", "))")
        try await scene.expectTree("unpacked through other paths", like: subject)
      }
    },
    ContractCase(
      "boundaries.mounts.changes-are-attributable", "nothing changes in the snapshotter's directory but by its own doing or through mounts that it gave",
      "\(law) 3, 4; LB-02; LAW-03, LAW-04",
      needs: [.files], why: "what others write into a backend's directory is not in its books: it is lost, or never freed"
    ) { subject in
      try await subject.scene(PipelineChoice(registry: .fake, content: .real, snapshots: .real, applier: .real)) { scene in
        let watch = StorageWatch(root: try storage(of: scene))
        scene.tape.watch { watch.note($0, begins: $1) }
        try await scene.unpack()
        scene.tape.watch(nil)
        watch.finish()
        try expect(watch.intervals > 5, "the suite saw only \(watch.intervals) pauses between the calls")
        try expect(watch.findings.isEmpty, "while neither the snapshotter nor the applier was at work, \(watch.findings.prefix(3).joined(separator: ", "))")
        try await scene.expectWhole("under watch")
      }
    },
  ]

  /// Mounts as words: `overlay overlay at / rw,lowerdir=…`.
  static func words(_ mounts: [Mount]) -> [String] { mounts.map { "\($0.type) \($0.source) at /\($0.target) \($0.options.joined(separator: ","))" } }

  static func mountTable() throws -> [String] {
    String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n").map(String.init)
  }
}

/// Mounts of a type of its own, with options that look like paths into storage.
private struct StrangeMounts: SnapshotterProxy {
  let base: any Snapshotter
  let trap: String
  var count = 1
  var targets = false

  private func strange(_ key: String, readOnly: Bool = false) -> [Mount] {
    (0..<count).map { number in
      Mount(
        type: "strange.\(number)", source: "strange://\(key)/\(number)", target: targets && number > 0 ? "below/\(number)" : "",
        options: [readOnly ? "ro" : "rw", "upperdir=\(trap)/upper", "workdir=\(trap)/work", "lowerdir=\(trap)/lower"])
    }
  }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    _ = try await base.prepare(key, parent: parent, labels: labels)
    return strange(key)
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    _ = try await base.view(key, parent: parent, labels: labels)
    return strange(key, readOnly: true)
  }
  func mounts(_ key: String) async throws -> [Mount] {
    _ = try await base.mounts(key)
    return strange(key)
  }
}

/// Trees that are reached through a bind mount elsewhere; an option that names a directory means nothing.
private struct AliasedMounts: SnapshotterProxy {
  let base: any Snapshotter
  let alias: String
  let decoy: String

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let mounts = try await base.prepare(key, parent: parent, labels: labels)
    guard mounts.count == 1, let mount = mounts.first, mount.type == "bind" else {
      throw SuiteError("the suite's own snapshotter gave \(mounts), not one bind mount")
    }
    let place = "\(alias)/\(UInt32.random(in: 0...UInt32.max))"
    try await DedicatedThread.run {
      try Files.makeDirectories(place)
      try Mounts.mount(type: "bind", source: mount.source, target: place, options: ["bind"])
    }
    // A bind mount heeds no other words: the kernel passes over them.
    return [Mount(type: "bind", source: place, options: ["rbind", "rw", "upperdir=\(decoy)/fs"])]
  }

  /// Undoes what `prepare` mounted. The namespace is the case's own.
  static func end(_ alias: String) async throws {
    try await DedicatedThread.run {
      for name in try Files.names(in: alias) { try Mounts.unmount("\(alias)/\(name)", flags: Int32(MNT_DETACH)) }
    }
  }
}

/// Compares what a directory holds whenever nobody who may write there is at work.
private final class StorageWatch: Sendable {
  private let root: String
  private struct State {
    var working = 0
    var last: [String: String]?
    var findings: [String] = []
    var intervals = 0
  }
  private let state = Mutex(State())

  init(root: String) {
    self.root = root
    state.withLock { $0.last = Self.look(root) }
  }

  var findings: [String] { state.withLock { $0.findings } }
  var intervals: Int { state.withLock { $0.intervals } }

  func note(_ call: Tape.Call, begins: Bool) {
    guard [.snapshots, .applier].contains(call.part) else { return }
    state.withLock { state in
      if begins {
        if state.working == 0 { Self.compare(&state, root, "before \(call.name)") }
        state.working += 1
      } else {
        state.working -= 1
        if state.working == 0 { state.last = Self.look(root) }
      }
    }
  }

  func finish() { state.withLock { if $0.working == 0 { Self.compare(&$0, root, "at the end") } } }

  private static func compare(_ state: inout State, _ root: String, _ moment: String) {
    guard let last = state.last else { return }
    state.intervals += 1
    let now = look(root)
    for (path, what) in now where last[path] != what { state.findings.append("\(path) \(last[path] == nil ? "appeared" : "changed") \(moment)") }
    for path in last.keys where now[path] == nil { state.findings.append("\(path) vanished \(moment)") }
  }

  /// Inode, size and times of everything in the directory; the backend's own books are its own matter.
  private static func look(_ root: String) -> [String: String] {
    var found: [String: String] = [:]
    func collect(_ place: String) {
      for name in (try? Files.names(in: place)) ?? [] {  // gone meanwhile
        let path = "\(place)/\(name)"
        var info = stat()
        guard lstat(path, &info) == 0 else { continue }
        let kind = info.st_mode & S_IFMT
        if kind == S_IFREG, place == root { continue }
        found[path] = "\(info.st_ino) \(info.st_mode) \(info.st_size) \(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec)"
        if kind == S_IFDIR { collect(path) }
      }
    }
    collect(root)
    return found
  }
}
