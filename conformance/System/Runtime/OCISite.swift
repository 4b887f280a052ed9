import CLinux
import ConformanceSuites
import Foundation
import SystemKit

/// Where one case works on a runtime: bundles, calls, and the end of all that was made.
final class OCISite {
  let subject: OCIRuntimeSubject
  /// Bundles and files of the case.
  let place: String
  /// The state root. What lies around it must survive whatever is asked of the runtime.
  let root: String
  /// Of this case in this run: cgroups and ids that nobody else has.
  let mark: String
  private(set) var containers: [OCIContainer] = []
  private let children: Set<Int32>
  private let mounts: Set<String>
  private var calls = 0

  init(_ subject: OCIRuntimeSubject) throws {
    if geteuid() != 0 { throw CaseSkipped(.privilege, "containers need root here") }
    guard Files.exists(Self.busybox) else { throw CaseSkipped(.tool, "\(Self.busybox) is missing: install busybox-static") }
    self.subject = subject
    place = subject.directory + "/case"
    root = subject.directory + "/ring/outer/state"
    mark = "\(subject.mark)-\(UInt32.random(in: 0 ... .max))"
    children = Children.all()
    mounts = Self.mountPoints()
    Children.adoptOrphans()
    try Files.makeDirectories(place)
    try Files.makeDirectories(root, mode: 0o700)
    for sentinel in sentinels { try write("untouched", to: sentinel) }
  }

  static let busybox = "/bin/busybox"
  var sentinels: [String] { [subject.directory + "/ring/sentinel", subject.directory + "/ring/outer/sentinel"] }

  /// For sockets, whose paths must be short; removed with the case.
  var socketDirectory: String { "/tmp/\(mark)" }

  /// Deadlines are generous, and multiplied by how slow the machine is.
  func seconds(_ count: Double) -> Double { count * subject.patience }

  /// A container that runs a script with busybox's shell, not yet created.
  func container(_ script: String = "sleep 100", id: String? = nil, _ change: (inout JSON) -> Void = { _ in }) throws -> OCIContainer {
    let id = id ?? "c\(containers.count + 1)-\(mark)"
    let bundle = "\(place)/b\(containers.count + 1)"
    let container = try OCIContainer(site: self, id: id, bundle: bundle, script: script)
    change(&container.config)
    containers.append(container)
    return container
  }

  /// Whether a program was seen to run in this case.
  var sawLife = false

  /// A runtime that refuses everything, or says yes to everything and does nothing, must not pass where a refusal, or nothing at all, was asked for:
  /// what cases that saw no program run end with.
  func expectPlainContainerRuns() throws {
    let plain = try container("echo alive; sleep 100")
    do {
      try plain.create()
      try plain.start()
      try plain.awaitOutput("alive")
      try plain.deleteForced()
    } catch let problem as Mismatch {
      throw Mismatch(
        description: "beside all this, a plain container must run, or the rest says nothing: \(problem.description)",
        expected: "beside all this, a plain container runs", actual: problem.actual ?? problem.description)
    }
  }

  /// Ids that cases give to the runtime without a container of ours behind them.
  var otherIDs: [String] = []

  func call(_ verb: String, _ operands: [String] = [], options: [String] = [], _ change: (inout OCICall) -> Void = { _ in }) throws -> OCIResult {
    try subject.handle(prepared(verb, operands, options, change))
  }

  private func prepared(_ verb: String, _ operands: [String], _ options: [String], _ change: (inout OCICall) -> Void) -> OCICall {
    calls += 1
    var call = OCICall(
      verb: verb, options: options, operands: operands, root: root, bundle: place, stdout: "\(place)/call\(calls).out", stderr: "\(place)/call\(calls).err")
    change(&call)
    return call
  }

  func expectSentinels(after what: String) throws {
    for sentinel in sentinels where contents(sentinel) != "untouched" {
      throw Mismatch(
        description: "\(what): a file outside of the state root was erased (\(sentinel))", expected: "what lies around the state root is untouched",
        actual: "\(sentinel) is gone")
    }
    try expect(Files.exists(root) || containers.isEmpty, "\(what): the state root itself is gone")
  }

  /// Mount points that this process sees below the workspace.
  static func mountPoints() -> Set<String> {
    Set(contents("/proc/self/mountinfo").split(separator: "\n").compactMap { $0.split(separator: " ").dropFirst(4).first.map(String.init) })
  }

  /// Cgroups of the case, all hierarchies.
  func cgroups() -> [String] {
    var found: [String] = []
    let top = "/sys/fs/cgroup"
    for hierarchy in [""] + ((try? Files.names(in: top)) ?? []).map({ "/" + $0 }) {
      let path = "\(top)\(hierarchy)/\(mark)"
      if Files.exists(path) { found.append(path) }
    }
    return found
  }

  /// Ends and removes everything, by the runtime where it can and by force where not. Never throws: it follows a verdict.
  func cleanUp() {
    for id in containers.filter(\.tried).map(\.id) + otherIDs {
      _ = try? subject.plain(prepared("delete", [id], ["--force"]) { _ in })  // most are gone already
    }
    for container in containers { if let pid = container.knownPID, Children.lives(pid) { kill(pid, SIGKILL) } }
    Children.endAll(but: children)
    for point in Self.mountPoints().subtracting(mounts).sorted().reversed() where point.hasPrefix(subject.directory) { umount2(point, Int32(MNT_DETACH)) }
    for cgroup in cgroups() { Self.removeCgroups(cgroup) }
    try? Files.removeTree(socketDirectory)  // it holds a socket at most
  }

  private static func removeCgroups(_ path: String) {
    for name in (try? Files.names(in: path)) ?? [] {
      var info = stat()
      if lstat("\(path)/\(name)", &info) == 0, info.st_mode & S_IFMT == S_IFDIR { removeCgroups("\(path)/\(name)") }
    }
    for _ in 0..<100 where rmdir(path) != 0 && clinux_errno() == EBUSY { usleep(10_000) }
  }
}
