import CInit
import CLinux

extension Plan {
  /// What every process of a container does last: limits, user, capabilities, filter, program. The order is the
  /// kernel's: the bounding set needs CAP_SETPCAP, groups and ids need their capabilities, and the filter comes last of
  /// all unless it must be loaded with privileges.
  func addProcess(
    _ process: ProcessSpec, capabilities: Capabilities.Sets, filter: SeccompFilter?, personality: UInt64?, env: [String],
    preserveFds: Int32
  ) {
    if let personality { add(CINIT_PERSONALITY, "set personality") { $0.a = personality } }
    for limit in process.rlimits {
      add(CINIT_RLIMIT, "set \(limit.type) to \(limit.soft):\(limit.hard)") {
        $0.a = Rlimits.resources[limit.type]!
        $0.b = limit.soft
        $0.c = limit.hard
      }
    }
    if let filter, !process.noNewPrivileges { add(filter) }
    add(CINIT_BOUNDING, "limit capabilities") { $0.a = capabilities.bounding }
    let user = process.user
    add(CINIT_USER, "become user \(user.uid):\(user.gid)") {
      $0.a = UInt64(user.uid)
      $0.b = UInt64(user.gid)
      $0.blob = self.blob(user.additionalGids.withUnsafeBytes { Array($0) })
      $0.blob_size = UInt64(user.additionalGids.count * MemoryLayout<UInt32>.size)
    }
    // As the user, while still holding the capabilities root has over files: both must let it in, as in runc.
    add(CINIT_CHDIR, "chdir to process.cwd \(process.cwd)") { $0.path = self.text(process.cwd) }
    add(CINIT_CAPABILITIES, "set capabilities") {
      $0.a = capabilities.effective
      $0.b = capabilities.permitted
      $0.c = capabilities.inheritable
    }
    add(CINIT_AMBIENT, "set ambient capabilities") { $0.a = capabilities.ambient }
    if let umask = user.umask { add(CINIT_UMASK, "set umask") { $0.a = UInt64(umask) } } else { add(CINIT_UMASK, "set umask") { $0.a = 0o022 } }
    if process.noNewPrivileges { add(CINIT_NO_NEW_PRIVS, "set no_new_privs") }
    add(CINIT_CLOSE_ON_EXEC, "mark descriptors close-on-exec") { $0.a = UInt64(3 + preserveFds) }
    if let filter, process.noNewPrivileges { add(filter) }
    add(CINIT_EXECUTE, "exec \(process.args[0])") {
      $0.path = self.text(process.args[0])
      $0.list = self.list(process.args)
      $0.env = self.list(env)
    }
  }

  private func add(_ filter: SeccompFilter) {
    add(CINIT_SECCOMP, "load the seccomp filter") {
      $0.blob = self.blob(filter.program)
      $0.blob_size = UInt64(filter.program.count)
      $0.a = filter.flags
    }
  }

  func addScheduling(_ process: ProcessSpec) throws(RuntimeError) {
    if let scheduler = process.scheduler {
      let attributes = try SchedulerAttributes.bytes(scheduler)
      add(CINIT_SCHEDULER, "set scheduler \(scheduler.policy)") {
        $0.blob = self.blob(attributes)
        $0.blob_size = UInt64(attributes.count)
      }
    }
    if let io = process.ioPriority {
      guard let ioClass = ["IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3][io.ioClass] else {
        throw RuntimeError(.invalid, "process.ioPriority.class: \"\(io.ioClass)\" is not a class")
      }
      guard (0...7).contains(io.priority) else { throw RuntimeError(.invalid, "process.ioPriority.priority: must be between 0 and 7") }
      let value = UInt64(ioClass << 13 | Int(io.priority))
      add(CINIT_IO_PRIORITY, "set I/O priority \(io.ioClass) \(io.priority)") { $0.a = value }
    }
  }

  func addStdio(_ process: ProcessSpec, _ stdio: Stdio) {
    add(CINIT_STDIO, "connect standard input and output") {
      $0.a = UInt64(UInt32(bitPattern: stdio.stdin))
      $0.b = UInt64(UInt32(bitPattern: stdio.stdout))
      $0.c = UInt64(UInt32(bitPattern: stdio.stderr))
      $0.d = process.terminal ? 1 : 0
    }
    add(CINIT_STDIO_OWNER, "give standard input and output to user \(process.user.uid)") { $0.a = UInt64(process.user.uid) }
  }

  func addProfile(_ process: ProcessSpec, slot: Int32?) {
    guard let slot, let profile = process.apparmorProfile else { return }
    add(CINIT_WRITE_SLOT, "set AppArmor profile \(profile)") {
      $0.fd = slot
      $0.text = self.text("exec \(profile)")
    }
  }

  /// Security labels are written by the process itself before its program; the file must be the kernel's.
  func openProfile(_ process: ProcessSpec) -> Int32? {
    guard let profile = process.apparmorProfile else { return nil }
    let slot = newSlot()
    add(CINIT_OPEN_PROC, "set AppArmor profile \(profile)") {
      $0.fd = slot
      $0.path = self.text("/proc/self/attr/apparmor/exec")
    }
    return slot
  }

  func addHooks(_ hooks: [HooksSpec.Hook], kind: String) {
    for hook in hooks {
      add(CINIT_HOOK, "\(kind) hook \(hook.path)") {
        $0.path = self.text(hook.path)
        $0.list = self.list(hook.args)
        $0.env = self.list(hook.env)
        $0.a = UInt64(hook.timeout ?? 0)
      }
    }
  }

  func addOOMScore(_ process: ProcessSpec, mayLower: Bool) {
    guard let adjustment = process.oomScoreAdj else { return }
    // Lowering needs CAP_SYS_RESOURCE; where even the runtime has not got it, that is no reason to run nothing.
    add(CINIT_WRITE_PROC, "set oom_score_adj to \(adjustment)", soft: !mayLower) {
      $0.path = self.text("/proc/self/oom_score_adj")
      $0.text = self.text(String(adjustment))
    }
  }
}
