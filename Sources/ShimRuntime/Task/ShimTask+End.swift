import Logging
import Protocols

extension ShimTask {
  /// What a process that nobody can ask about any more is said to have ended with, as containerd does.
  static let killed: UInt32 = 137
  static let unknownEnd: UInt32 = 255

  func wait(exec: String?) async throws -> ExitStatus {
    do {
      let answer = try await service.wait(exec: exec)
      let exit = ExitStatus(pid: pid(exec: exec), code: answer.code, exitedAt: answer.exitedAt)
      if exec == nil { noteExit(exit, published: false) }
      return exit
    } catch let error as ContainerdError where error.code == .unavailable && service.client.isClosed {
      guard let ending = end(dead: true) else { throw error }
      let status = await ending.outcome.value
      // Deleted, not dead: whoever still held on to the task asks for something that is not there.
      if !ending.dead { throw ContainerdError.notFound("task \(id)") }
      // An exec cannot outlive the container's cgroup, which the shim's `delete` kills.
      return exec == nil ? status : ExitStatus(pid: pid(exec: exec), code: Self.killed, exitedAt: status.exitedAt)
    } catch {
      throw ShimComplaint.classified(error, "task \(id)")
    }
  }

  func delete(exec: String?) async throws -> ExitStatus {
    if let exec {
      let status = try await ask { try await $0.delete(exec: exec) }
      forget(exec: exec)
      return status
    }
    do {
      let status = try await service.delete(exec: nil)
      noteExit(status, published: false)
      _ = await end(dead: false)?.outcome.value
      return status
    } catch let error as ContainerdError where error.code == .unavailable && service.client.isClosed {
      guard let ending = end(dead: true) else { throw error }
      let status = await ending.outcome.value
      if !ending.dead { throw ContainerdError.notFound("task \(id)") }
      return status
    } catch let error as ContainerdError where error.code == .notFound {
      // A deletion that was cut short: the shim has forgotten the container, the rest is still to be done.
      guard let ending = end(dead: false) else { throw error }
      return await ending.outcome.value
    } catch {
      throw ShimComplaint.classified(error, "task \(id)")
    }
  }

  /// After the shim has deleted the container: ends the shim and removes what is left.
  func takeAway() async -> ExitStatus {
    await context.attempt("shim does not shut down", for: bundle.key) {
      try await service.shutdown(timeout: context.configuration.shutdownTimeout)
    }
    await service.client.close()
    let leftover = await BundleCleanup(bundle: bundle, binary: binary, context: context).run()
    return knownExit.status ?? leftover ?? ExitStatus(pid: initPid, code: Self.unknownEnd, exitedAt: .now())
  }

  /// After the connection has broken: the container may still run without anybody to reap it, and the shim's program knows how
  /// to end it.
  func cleanUpAfterDeadShim() async -> ExitStatus {
    context.logger(for: bundle.key).warning("shim has ended: cleaning up after it")
    let leftover = await BundleCleanup(bundle: bundle, binary: binary, context: context).run()
    // Now, not before: the shim's last event may still have come.
    let known = knownExit
    let status = known.status ?? leftover ?? ExitStatus(pid: initPid, code: Self.unknownEnd, exitedAt: .now())
    DeadTaskEvents(key: bundle.key, exit: status).publish(to: context.events, exitIsKnown: known.published)
    return status
  }
}
