import CInit
import CLinux
import SystemKit

extension Container {
  /// Makes the whole environment: namespaces, cgroups, mounts, the first process held before its program. Runs the hooks
  /// prestart, createRuntime and createContainer, and nothing else of the user's.
  ///
  /// Returns when the process waits for `start`. On an error everything made is removed again.
  public static func create(_ options: CreateOptions, spec: RuntimeSpec) throws(RuntimeError) -> Container {
    let directory = try StateDirectory(root: options.root, id: options.id)
    guard let process = spec.process else { throw RuntimeError(.invalid, "process: is missing in the configuration") }
    try process.requireArguments()
    if process.selinuxLabel != nil { throw RuntimeError(.invalid, "process.selinuxLabel: SELinux labels are not supported") }
    let bundle = try realPath(options.bundle, "the bundle")
    guard let rootPath = spec.rootPath else { throw RuntimeError(.invalid, "root: is missing in the configuration") }
    let rootfs = try realPath(rootPath.hasPrefix("/") ? rootPath : bundle + "/" + rootPath, "root.path")
    let cgroupPath = try CgroupPath.resolve(spec.linux.cgroupsPath, id: options.id, systemd: options.systemdCgroup)
    let hierarchies = try CgroupLayout.detect()
    let cgroup = Cgroup(path: cgroupPath, hierarchies: hierarchies)

    try directory.make()
    CrashPoint.pass("create.directory")
    let record = ContainerRecord(
      id: options.id, bundle: bundle, rootfs: rootfs, process: ProcessIdentity(pid: 0, startTime: 0), creator: ProcessIdentity(pid: getpid()),
      ownsCgroup: false, created: timestamp(), cgroup: cgroup, pivoted: spec.linux.makes(.mount) && !options.noPivot,
      noNewKeyring: options.noNewKeyring)
    let container = Container(directory: directory, record: record, spec: spec)
    do throws(RuntimeError) {
      // Nobody may see the container without its configuration, and nothing is made of which the state does not tell: whoever
      // deletes after this process was killed has nothing else to go by.
      try directory.write(spec.source, to: directory.configPath)
      CrashPoint.pass("create.configured")
      try container.save()
      CrashPoint.pass("create.announced")
      try cgroup.make()
    } catch {
      try? directory.remove()
      throw error
    }
    do throws(RuntimeError) {
      CrashPoint.pass("create.cgroup")
      container.record.ownsCgroup = true
      try container.save()
      if let resources = spec.linux.resources {
        try cgroup.apply(resources)
        try DeviceRules.apply(resources.devices, to: cgroup)
      }
      try container.launch(options, process: process, hierarchies: hierarchies)
    } catch {
      container.undo()
      throw error
    }
    return container
  }

  private func save() throws(RuntimeError) { try directory.write(record.json.serialized(), to: directory.statePath) }

  private static func realPath(_ path: String, _ what: String) throws(RuntimeError) -> String {
    guard let resolved = realpath(path, nil) else {
      let failure = SystemError.last("open", path)
      throw RuntimeError(failure.errno == ENOENT ? .notFound : .system, "\(what): \(failure)")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private func launch(_ options: CreateOptions, process: ProcessSpec, hierarchies: [CgroupHierarchy]) throws(RuntimeError) {
    let own = try Capabilities.own()
    var warned: [String] = []
    let environment = EnvironmentPlan(
      options: options, spec: spec, process: process, bundle: record.bundle, rootfs: record.rootfs, cgroup: record.cgroup,
      hierarchies: hierarchies,
      capabilities: Capabilities.resolve(process.capabilities, holding: own, inUserNamespace: spec.linux.namespace(.user) != nil) { warned.append($0) },
      mayLowerOOMScore: own.permitted & Capabilities.sysResource != 0,
      filter: try spec.linux.seccomp.map { spec throws(RuntimeError) in try SeccompFilter(spec) })
    warnings += warned

    let tasks = try record.cgroup.openTasks()
    tasks.forEach { environment.plan.keep($0) }
    var namespaces: [(LinuxSpec.Namespace, Int32)] = []
    for namespace in spec.linux.namespaces {
      guard let path = namespace.path else { continue }
      let fd = try during("open \(namespace.type.rawValue) namespace") { () throws(SystemError) in try Files.open(path, O_RDONLY).release() }
      environment.plan.keep(fd)
      namespaces.append((namespace, fd))
    }
    let root = try during("open the root file system") { () throws(SystemError) in try Files.open(record.rootfs, O_PATH | O_DIRECTORY) }
    let state = try during("open the state directory") { () throws(SystemError) in try Files.open(directory.path, O_PATH | O_DIRECTORY) }
    let gate = cinit_listen_at(state.raw, StateDirectory.gateName)
    guard gate >= 0 else {
      throw RuntimeError(SystemError(errno: -gate, operation: "bind", object: directory.gatePath), doing: "make the start gate")
    }
    environment.plan.keep(gate)
    try environment.compile(tasks: tasks, namespaces: namespaces, gate: gate, root: root.raw)

    var ends: [Int32] = [-1, -1]
    let paired = cinit_socketpair(&ends)
    guard paired == 0 else { throw RuntimeError(SystemError(errno: -paired, operation: "socketpair", object: "sync"), doing: "create") }
    var sync = SyncSocket(OwnedFD(adopting: ends[0]))
    let unified = try record.cgroup.openUnified()
    CrashPoint.pass("create.prepared")
    let cloned = environment.plan.spawn(cloneFlags: environment.cloneFlags, cgroup: unified, sync: ends[1], held: true)
    close(ends[1])
    if unified >= 0 { close(unified) }
    guard cloned > 0 else {
      throw RuntimeError(SystemError(errno: -cloned, operation: "clone3", object: "container \(id)"), doing: "make the container's process")
    }
    CrashPoint.pass("create.cloned")
    do throws(RuntimeError) {
      try converse(&sync, cloned: cloned, staged: !environment.plan.joins.isEmpty)
    } catch {
      if let master = sync.ttyMaster { close(master) }
      throw error
    }
    warnings += sync.warnings
    ttyMaster = sync.ttyMaster
    CrashPoint.pass("create.ready")
    try save()
    CrashPoint.pass("create.saved")
    if let path = options.pidFile {
      try during("write the pid file") { () throws(SystemError) in
        try Files.writeAtomically(Array(String(initPID).utf8), to: path, mode: 0o644)
      }
    }
    // Until here the process ends with this one; from here on it waits for whoever starts it.
    try sync.answer([UInt8(ascii: "1")])
    CrashPoint.pass("create.released")
  }

  /// Answers the child until it is ready.
  private func converse(_ sync: inout SyncSocket, cloned: Int32, staged: Bool) throws(RuntimeError) {
    if !staged { adopt(cloned) }
    var reaped = !staged
    func reapStage() {
      if reaped { return }
      reaped = true
      var status: Int32 = 0
      while waitpid(cloned, &status, 0) < 0, clinux_errno() == EINTR {}
    }
    defer { reapStage() }
    var waiting: Int32?
    while true {
      switch try sync.next() {
      case .pid(let pid):
        adopt(pid)
        reapStage()
        if let point = waiting { try meet(point, sync) }
        waiting = nil
      case .sync(let point):
        if initPID > 0 { try meet(point, sync) } else { waiting = point }
      case .ready:
        // The pid may come after the report: two processes speak.
        while initPID == 0 {
          guard case .pid(let pid) = try sync.next() else { break }
          adopt(pid)
        }
        return
      case .closed: throw endedEarly()
      }
    }
  }

  private func endedEarly() -> RuntimeError {
    let what = "the container's process ended while its environment was being made"
    guard record.cgroup.outOfMemoryKills > 0 else { return RuntimeError(.system, what) }
    return RuntimeError(.system, "\(what): it ran out of memory, the memory limit is too low")
  }

  private func adopt(_ pid: Int32) {
    record.process = ProcessIdentity(pid: pid) ?? ProcessIdentity(pid: pid, startTime: 0)
  }

  private func meet(_ point: Int32, _ sync: borrowing SyncSocket) throws(RuntimeError) {
    switch SyncPoint(rawValue: point) {
    case .idMaps:
      for (file, map) in [("uid_map", spec.linux.uidMappings), ("gid_map", spec.linux.gidMappings)] {
        let text = IDMapping.text(map)
        let path = "/proc/\(initPID)/\(file)"
        try during("write \(file)") { () throws(SystemError) in try CgroupFile.put(text, path) }
      }
      try sync.answer([UInt8(ascii: "1")])
    case .hooks:
      CrashPoint.pass("create.hooks")
      let state = stateJSON(status: .created)
      try HookRunner.run(spec.hooks.prestart, kind: "prestart", state: state)
      try HookRunner.run(spec.hooks.createRuntime, kind: "createRuntime", state: state)
      try sync.answer(state)
    case nil: throw RuntimeError(.system, "the container's process asked for an unknown step \(point)")
    }
  }

  /// Removes what a failed creation left.
  private func undo() {
    if initPID > 0 {
      _ = CLinux.kill(initPID, SIGKILL)
      var status: Int32 = 0
      while waitpid(initPID, &status, 0) < 0, clinux_errno() == EINTR {}
      runPoststop()
    }
    if let master = ttyMaster { close(master) }
    ttyMaster = nil
    // What cannot be removed is told with the error that is thrown anyway.
    do throws(RuntimeError) {
      try record.cgroup.signalAll(SIGKILL)
      try record.cgroup.remove()
    } catch { warnings.append(error.message) }
    do throws(RuntimeError) { try directory.remove() } catch { warnings.append(error.message) }
  }
}
