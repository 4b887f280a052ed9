import CInit
import CLinux
import SystemKit

/// Where the child stops to let the caller work.
enum SyncPoint: Int32 {
  /// The id maps of the new user namespace are to be written.
  case idMaps = 1
  /// Mounts are ready; the hooks of the runtime's side are to run.
  case hooks = 2
}

/// Compiles a configuration to what the container's first process does before its program runs.
struct EnvironmentPlan {
  let options: CreateOptions
  let spec: RuntimeSpec
  let process: ProcessSpec
  let bundle: String
  let rootfs: String
  let cgroup: Cgroup
  let hierarchies: [CgroupHierarchy]
  let capabilities: Capabilities.Sets
  let mayLowerOOMScore: Bool
  let filter: SeccompFilter?
  let plan = Plan()

  var cloneFlags: UInt64 {
    // The cgroup namespace takes the caller's cgroup as its root, so it is made after joining; a new time namespace is
    // entered by the child of who asked for it.
    [NamespaceType.pid, .network, .mount, .ipc, .uts, .user].filter(spec.linux.makes).reduce(0) { $0 | $1.flag }
  }
  private var ownsMounts: Bool { spec.linux.namespace(.mount) != nil }
  private var usesUserNamespace: Bool { spec.linux.namespace(.user) != nil }

  /// - Parameters:
  ///   - tasks: v1 `tasks` files. - namespaces: open files of namespaces to join. - gate: the listening socket.
  ///   - root: the root file system, for a container without mounts of its own.
  func compile(tasks: [Int32], namespaces: [(LinuxSpec.Namespace, Int32)], gate: Int32, root: Int32) throws(RuntimeError) {
    let staged = !namespaces.isEmpty || spec.linux.makes(.time)
    for fd in tasks {
      plan.add(CINIT_WRITE_FD, "join cgroup", join: staged) {
        $0.fd = fd
        $0.text = plan.text("0")
      }
    }
    addJoins(namespaces)
    plan.add(CINIT_SETSID, "make a session")
    plan.addOOMScore(process, mayLower: mayLowerOOMScore)
    if spec.linux.makes(.user) { plan.add(CINIT_SYNC, "wait for id maps") { $0.a = UInt64(SyncPoint.idMaps.rawValue) } }
    let profile = plan.openProfile(process)  // while /proc is the host's
    if ownsMounts { try addMountNamespace() } else { addNamespaceSettings() }
    try addNamespaceValues()
    if ownsMounts { try addRoot() } else { addPlainRoot(root) }
    let env = try ProcessEnvironment.resolve(process, root: rootfs)
    addEnd(gate: gate, profile: profile, env: env)
    try plan.addScheduling(process)
    plan.addProcess(
      process, capabilities: capabilities, filter: filter, personality: spec.linux.personality,
      env: env, preserveFds: options.preserveFds)
  }

  private func addJoins(_ namespaces: [(LinuxSpec.Namespace, Int32)]) {
    // The user namespace last: it takes away the right to enter the others.
    for (namespace, fd) in namespaces.filter({ $0.0.type != .user }) + namespaces.filter({ $0.0.type == .user }) {
      plan.add(CINIT_SETNS, "join \(namespace.type.rawValue) namespace \(namespace.path ?? "")", join: true) {
        $0.fd = fd
        $0.a = namespace.type.flag
      }
    }
    guard spec.linux.makes(.time) else { return }
    plan.add(CINIT_UNSHARE, "make a time namespace", join: true) { $0.a = NamespaceType.time.flag }
    for offset in spec.linux.timeOffsets {
      plan.add(CINIT_WRITE_PROC, "set the \(offset.clock) clock's offset", join: true) {
        $0.path = plan.text("/proc/self/timens_offsets")
        $0.text = plan.text("\(offset.clock) \(offset.seconds) \(offset.nanoseconds)\n")
      }
    }
  }

  private func addNamespaceSettings() {
    if usesUserNamespace { plan.add(CINIT_ROOT_IDS, "become root of the user namespace") }
    if spec.linux.makes(.cgroup) { plan.add(CINIT_UNSHARE, "make a cgroup namespace") { $0.a = NamespaceType.cgroup.flag } }
  }

  private func addNamespaceValues() throws(RuntimeError) {
    if !options.noNewKeyring {
      plan.add(CINIT_KEYRING, "make a session keyring", soft: true) { $0.text = plan.text("_ses.\(options.id)") }
    }
    if spec.linux.makes(.network) { plan.add(CINIT_LOOPBACK_UP, "bring up the loopback interface") }
    if let hostname = spec.hostname { plan.add(CINIT_HOSTNAME, "set hostname \(hostname)") { $0.text = plan.text(hostname) } }
    if let domainname = spec.domainname { plan.add(CINIT_DOMAINNAME, "set domainname \(domainname)") { $0.text = plan.text(domainname) } }
    for (name, value) in spec.linux.sysctl {
      let path = try Sysctl.path(name, linux: spec.linux, hasHostname: spec.hostname != nil)
      plan.add(CINIT_WRITE_PROC, "set sysctl \(name)") {
        $0.path = plan.text(path)
        $0.text = plan.text(value)
      }
    }
  }

  /// Opens everything of the host that the container gets, still with the host's eyes.
  private func addMountNamespace() throws(RuntimeError) {
    let propagation = spec.linux.rootfsPropagation ?? (1 << 19 | 1 << 14)
    let isShared = propagation & (1 << 20) != 0
    plan.add(CINIT_PROPAGATION, "set the propagation of /") {
      $0.path = plan.text("/")
      $0.a = isShared ? propagation : 1 << 19 | 1 << 14
    }
    if isShared {
      // pivot_root and the attachment of the root want a parent that shares with nobody.
      let parent = try MountPoints.containing(rootfs)
      plan.add(CINIT_PROPAGATION, "make \(parent) private") {
        $0.path = plan.text(parent)
        $0.a = 1 << 18
      }
    }
  }

  private func addRoot() throws(RuntimeError) {
    let rootSlot = plan.openSource(rootfs, recursive: true)
    var mounts: [PreparedMount] = []
    for mount in spec.mounts { mounts.append(try PreparedMount(mount, bundle: bundle)) }
    for index in mounts.indices where mounts[index].options.bind && mounts[index].options.flags & MountOptions.remount == 0 {
      mounts[index].slot = plan.openSource(mounts[index].source, recursive: mounts[index].options.recursiveBind)
      try addIDMap(mounts[index])
    }
    let ownCgroupNamespace = spec.linux.namespace(.cgroup) != nil
    var cgroupSources: [String: Int32] = [:]
    if !ownCgroupNamespace, mounts.contains(where: { $0.spec.type == "cgroup" || $0.spec.type == "cgroup2" }) {
      for directory in cgroup.directories { cgroupSources[directory.path] = plan.openSource(directory.path, recursive: false) }
    }
    let bindsDev = mounts.contains { $0.destination == "/dev" && $0.options.bind }
    var devices = DevicePlan(spec.linux.devices)
    if usesUserNamespace, !bindsDev { devices.openHostNodes(plan) }

    addNamespaceSettings()
    plan.add(CINIT_ATTACH_ROOT, "mount the root file system \(rootfs)") {
      $0.fd = rootSlot
      $0.path = plan.text(rootfs)
    }
    var devReadonly = false
    for mount in mounts { add(mount, cgroupSources: cgroupSources, ownCgroupNamespace: ownCgroupNamespace, devReadonly: &devReadonly) }
    if !bindsDev { devices.add(to: plan) }
    addTerminal(bindConsole: !bindsDev, entered: false)
    if process.cwd != "/" {
      plan.add(CINIT_MAKE_DIRECTORY, "make process.cwd \(process.cwd)") {
        $0.path = plan.text(process.cwd)
        $0.a = 0o755
      }
    }
    addHookPoint()
    for path in spec.linux.readonlyPaths { plan.add(CINIT_READONLY, "make \(path) read-only") { $0.path = plan.text(path) } }
    for path in spec.linux.maskedPaths { plan.add(CINIT_MASK, "mask \(path)") { $0.path = plan.text(path) } }
    if devReadonly { plan.addReadonly("/dev") }
    if spec.rootReadonly { plan.add(CINIT_ROOT_READONLY, "make the root read-only") }
    plan.add(CINIT_ENTER_ROOT, "enter the root file system") {
      $0.a = spec.linux.makes(.mount) ? (options.noPivot ? 1 : 0) : 2
      $0.b = spec.linux.rootfsPropagation ?? 0
    }
  }

  private func add(_ mount: PreparedMount, cgroupSources: [String: Int32], ownCgroupNamespace: Bool, devReadonly: inout Bool) {
    if let slot = mount.slot {
      plan.addBind(slot: slot, source: mount.source, destination: mount.destination, options: mount.options)
      return
    }
    if mount.spec.type == "cgroup" || mount.spec.type == "cgroup2" {
      plan.addCgroupMount(mount, cgroup: cgroup, hierarchies: hierarchies, ownNamespace: ownCgroupNamespace, sources: cgroupSources)
      return
    }
    var flags = mount.options.flags
    if mount.options.bind { flags |= 4096 }  // with remount only
    if mount.destination == "/dev", flags & MountOptions.readonly != 0 {
      // Read-only when the devices are in it.
      flags &= ~MountOptions.readonly
      devReadonly = true
    }
    var data = mount.options.data
    if let label = spec.linux.mountLabel, mount.spec.type != "proc", mount.spec.type != "sysfs" { data.append("context=\"\(label)\"") }
    plan.addFileSystem(
      mount.spec.type, source: mount.source, destination: mount.destination, options: mount.options, data: data, flags: flags)
  }

  private func addIDMap(_ mount: PreparedMount) throws(RuntimeError) {
    guard mount.options.idmap || !mount.spec.uidMappings.isEmpty, let slot = mount.slot else { return }
    let uids = mount.spec.uidMappings.isEmpty ? spec.linux.uidMappings : mount.spec.uidMappings
    let gids = mount.spec.gidMappings.isEmpty ? spec.linux.gidMappings : mount.spec.gidMappings
    guard !uids.isEmpty else { throw RuntimeError(.invalid, "mount at \(mount.destination): idmap without mappings and without a user namespace") }
    let fd = cinit_user_namespace(IDMapping.text(uids), IDMapping.text(gids))
    guard fd >= 0 else {
      throw RuntimeError(SystemError(errno: -fd, operation: "map ids", object: mount.destination), doing: "mount at \(mount.destination)")
    }
    plan.keep(fd)
    plan.add(CINIT_IDMAP, "map the ids of \(mount.source)") {
      $0.fd = slot
      $0.fd2 = fd
      $0.a = mount.options.recursiveIdmap ? 1 : 0
    }
  }

  private func addPlainRoot(_ root: Int32) {
    addHookPoint()
    plan.add(CINIT_CHROOT_FD, "enter the root file system \(rootfs)") { $0.fd = root }
    addTerminal(bindConsole: false, entered: true)
  }

  private func addTerminal(bindConsole: Bool, entered: Bool) {
    guard process.terminal else { return }
    plan.add(CINIT_PTY, "make a terminal") {
      $0.a = bindConsole ? 1 : 0
      $0.b = UInt64(process.consoleSize?.height ?? 0)
      $0.c = UInt64(process.consoleSize?.width ?? 0)
      $0.d = entered ? 1 : 0
    }
  }

  private func addHookPoint() {
    let hooks = spec.hooks
    guard !hooks.prestart.isEmpty || !hooks.createRuntime.isEmpty || !hooks.createContainer.isEmpty || !hooks.startContainer.isEmpty else { return }
    plan.add(CINIT_SYNC, "wait for the runtime's hooks") { $0.a = UInt64(SyncPoint.hooks.rawValue) }
    plan.addHooks(hooks.createContainer, kind: "createContainer")
  }

  private func addEnd(gate: Int32, profile: Int32?, env: [String]) {
    plan.addProfile(process, slot: profile)
    // A hook may still bring the program.
    if spec.hooks.startContainer.isEmpty {
      plan.add(CINIT_LOOKUP, "exec \(process.args[0])") {
        $0.path = plan.text(process.args[0])
        $0.source = plan.text(process.cwd)
        $0.env = plan.list(env)
      }
    }
    plan.addStdio(process, options.stdio)
    plan.add(CINIT_READY, "report the environment ready") {
      $0.fd = gate
      $0.a = UInt64(3 + options.preserveFds)
    }
    plan.add(CINIT_GATE, "wait for start") { $0.fd = gate }
    plan.addHooks(spec.hooks.startContainer, kind: "startContainer")
  }
}
