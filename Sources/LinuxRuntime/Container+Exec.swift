import CInit
import CLinux
import SystemKit

extension Container {
  /// Starts a further process in all namespaces and cgroups of the container: a direct child of the caller, running its
  /// program when this returns. Throws when the program cannot be executed.
  public func exec(_ process: ProcessSpec, _ options: ExecOptions) throws(RuntimeError) -> ExecutedProcess {
    try process.requireArguments()
    if process.selinuxLabel != nil { throw RuntimeError(.invalid, "process.selinuxLabel: SELinux labels are not supported") }
    if let sub = options.subCgroup, sub.split(separator: "/").contains("..") {
      throw RuntimeError(.invalid, "cgroup \"\(sub)\" is not below the container's")
    }
    guard let target = record.process.open() else { throw RuntimeError(.wrongState, "cannot exec in a stopped container: \(id)") }
    guard !record.cgroup.isFrozen else { throw RuntimeError(.wrongState, "cannot exec in a paused container: \(id)") }

    let plan = Plan()
    let own = try Capabilities.own()
    for fd in try record.cgroup.openTasks(sub: options.subCgroup) {
      plan.keep(fd)
      plan.add(CINIT_WRITE_FD, "join cgroup", join: true) {
        $0.fd = fd
        $0.text = plan.text("0")
      }
    }
    if let adjustment = process.oomScoreAdj {
      plan.add(CINIT_WRITE_PROC, "set oom_score_adj to \(adjustment)", soft: own.permitted & Capabilities.sysResource == 0, join: true) {
        $0.path = plan.text("/proc/self/oom_score_adj")
        $0.text = plan.text(String(adjustment))
      }
    }
    let joined = joinedNamespaces()
    let flags = joined.reduce(0) { $0 | $1.flag }
    if flags != 0 {
      plan.add(CINIT_SETNS, "join the namespaces of container \(id)", join: true) {
        $0.fd = target.raw
        $0.a = flags
      }
    }
    let root = "/proc/\(initPID)/root"
    if !record.pivoted {
      let fd = try during("open the container's root") { () throws(SystemError) in try Files.open(root, O_PATH | O_DIRECTORY).release() }
      plan.keep(fd)
      plan.add(CINIT_CHROOT_FD, "enter the container's root", join: true) { $0.fd = fd }
    }
    if joined.contains(.user) { plan.add(CINIT_ROOT_IDS, "become root of the user namespace") }
    plan.add(CINIT_SETSID, "make a session")
    if !record.noNewKeyring { plan.add(CINIT_KEYRING, "join the session keyring", soft: true) { $0.text = plan.text("_ses.\(self.id)") } }
    if process.terminal {
      plan.add(CINIT_PTY, "make a terminal") {
        $0.b = UInt64(process.consoleSize?.height ?? 0)
        $0.c = UInt64(process.consoleSize?.width ?? 0)
        $0.d = 1
      }
    }
    plan.addStdio(process, options.stdio)
    try plan.addScheduling(process)
    plan.addProfile(process, slot: plan.openProfile(process))
    var warned: [String] = []
    let capabilities = Capabilities.resolve(process.capabilities, holding: own, inUserNamespace: joined.contains(.user)) { warned.append($0) }
    warnings += warned
    plan.addProcess(
      process, capabilities: capabilities, filter: try spec.linux.seccomp.map { spec throws(RuntimeError) in try SeccompFilter(spec) },
      personality: spec.linux.personality, env: try ProcessEnvironment.resolve(process, root: root), preserveFds: options.preserveFds)
    return try run(plan, options)
  }

  private func run(_ plan: Plan, _ options: ExecOptions) throws(RuntimeError) -> ExecutedProcess {
    var ends: [Int32] = [-1, -1]
    let paired = cinit_socketpair(&ends)
    guard paired == 0 else { throw RuntimeError(SystemError(errno: -paired, operation: "socketpair", object: "sync"), doing: "exec") }
    var sync = SyncSocket(OwnedFD(adopting: ends[0]))
    let unified = try record.cgroup.openUnified(sub: options.subCgroup)
    let staged = !plan.joins.isEmpty
    let cloned = plan.spawn(cloneFlags: 0, cgroup: unified, sync: ends[1])
    close(ends[1])
    if unified >= 0 { close(unified) }
    guard cloned > 0 else { throw RuntimeError(SystemError(errno: -cloned, operation: "clone3", object: "container \(id)"), doing: "exec") }
    var pid = staged ? 0 : cloned
    func reap(_ pid: Int32) {
      var status: Int32 = 0
      while waitpid(pid, &status, 0) < 0, clinux_errno() == EINTR {}
    }
    do throws(RuntimeError) {
      conversation: while true {
        switch try sync.next() {
        case .pid(let value): pid = value
        case .closed: break conversation
        default: continue
        }
      }
      guard pid > 0 else { throw RuntimeError(.system, "exec in container \(id): the joining process was killed") }
    } catch {
      // The report of a failure may overtake the pid.
      while staged, pid == 0, case .some(.pid(let value)) = try? sync.next() { pid = value }
      if staged { reap(cloned) }
      if pid > 0 { reap(pid) }
      if let master = sync.ttyMaster { close(master) }
      throw error
    }
    if staged { reap(cloned) }
    warnings += sync.warnings
    if let path = options.pidFile {
      try during("write the pid file") { () throws(SystemError) in try Files.writeAtomically(Array(String(pid).utf8), to: path, mode: 0o644) }
    }
    return ExecutedProcess(pid: pid, ttyMaster: sync.ttyMaster)
  }

  /// The kinds of namespaces in which the container is elsewhere than we are.
  private func joinedNamespaces() -> [NamespaceType] {
    NamespaceType.allCases.filter { type in
      var own = stat()
      var theirs = stat()
      guard stat("/proc/self/ns/\(type.file)", &own) == 0, stat("/proc/\(initPID)/ns/\(type.file)", &theirs) == 0 else { return false }
      return own.st_ino != theirs.st_ino || own.st_dev != theirs.st_dev
    }
  }
}
