import CLinux
import ConformanceSuites
import Foundation
import Synchronization
import SystemKit

/// The child side: runs cases one after the other in this process and reports each on a descriptor, a JSON value a line.
public enum Worker {
  /// What a worker tells its runner.
  public enum Message: Codable, Sendable {
    case begins(String)
    case ended(CaseResult)
    /// The case's time is nearly up: what it has done, and the calls that nobody has answered yet.
    case late(steps: [Record.Step], underWay: [String])
  }

  /// The descriptor on which a worker reports: standard output belongs to the cases.
  public static let descriptor: Int32 = 3

  /// To be called before this process has a second thread: a mount namespace of its own, an end with the runner, bounds on memory.
  /// - Returns: why there is no mount namespace, or nil.
  public static func isolate(memoryLimit: UInt) -> String? {
    // What a case starts must not hold the runner's pipe.
    _ = clinux_fcntl(descriptor, F_SETFD, Int(FD_CLOEXEC))
    _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL), 0, 0, 0)
    var limit = rlimit(rlim_cur: memoryLimit, rlim_max: memoryLimit)
    _ = setrlimit(__rlimit_resource_t(2), &limit)  // RLIMIT_DATA
    limit = rlimit(rlim_cur: 0, rlim_max: 0)
    _ = setrlimit(__rlimit_resource_t(4), &limit)  // RLIMIT_CORE
    if unshare(CLONE_NEWNS) != 0 { return "unshare: \(String(cString: strerror(clinux_errno())))" }
    // Slaves: what a daemon mounts meanwhile is seen, what a case mounts is not.
    if mount("none", "/", nil, UInt(MS_REC | MS_SLAVE), nil) != 0 { return "mount / as slave: \(String(cString: strerror(clinux_errno())))" }
    return nil
  }

  /// How the error begins that says that the backend's process has ended, or does not listen any more.
  public static let backendIsGone = "backend is gone: "
  /// How the error begins that says that the backend is there and answers nothing with which a case could begin.
  public static let backendIsUseless = "backend is of no use: "

  public static func run(
    _ cases: [AnyCase], on target: Target, directory: String, seed: UInt64, patience: Double, budget: Double, limit: Double, runner: Int32
  ) async {
    let mark = Leftovers.mark(run: runner, worker: getpid())
    for contract in cases {
      send(.begins(contract.id))
      let place = "\(directory)/\(contract.id)"
      do { try Files.makeDirectories(place) } catch {
        send(.ended(CaseResult(contract.info, .error, detail: "no workspace: \(error)", seed: seed)))
        continue
      }
      let workspace = Workspace(directory: place, seed: seed, patience: patience, budget: budget, mark: mark)
      let record = workspace.record
      let warning = Task.detached {
        try await Task.sleep(for: .seconds(limit * patience * 0.9))
        send(.late(steps: record.steps.suffix(200), underWay: record.underWay))
      }
      let result = await judge(contract, on: target, in: workspace)
      warning.cancel()
      send(.ended(result))
    }
  }

  static func judge(_ contract: AnyCase, on target: Target, in workspace: Workspace) async -> CaseResult {
    let started = ContinuousClock.now
    var result = CaseResult(contract.info, .pass, seed: workspace.seed)
    do { try await contract.run(on: target, in: workspace) } catch let violation as ContractViolation {
      result.outcome = .fail
      result.detail = violation.detail
      result.expected = violation.expected
      result.actual = violation.actual
    } catch let skipped as CaseSkipped {
      result.outcome = .skip
      result.skipReason = skipped.reason.rawValue
      result.detail = skipped.detail
    } catch {
      let words = "\(error)"
      // Gone before the case began: it has seen nothing.
      result.outcome = words.contains(Self.backendIsGone) || words.contains(Self.backendIsUseless) ? .blocked : .error
      result.detail = words
    }
    // What undoes the case's work is no part of it.
    let steps = Array(workspace.record.steps.suffix(200))
    let problems = await workspace.endings.run()
    if result.outcome != .blocked, let gone = problems.first(where: { $0.hasPrefix(Self.backendIsGone) }) {
      // It answered when the case began: it died of what the case did.
      result.detail = "\(gone): it died while this case ran\(result.detail.isEmpty ? "" : ", which saw: \(result.detail)")"
      result.outcome = .crash
      (result.expected, result.actual) = ("a backend that lives", "\(gone.dropFirst(Self.backendIsGone.count))")
    } else if result.outcome == .pass, !problems.isEmpty {
      result.outcome = .error
      result.detail = "the case held, but not everything could be undone afterwards: " + problems.joined(separator: "; ")
    }
    let took = started.duration(to: .now).components
    result.seconds = Double(took.seconds) + Double(took.attoseconds) / 1e18
    result.steps = steps
    return result
  }

  /// Messages of two threads do not mix.
  private static let sending = Mutex(())

  private static func send(_ message: Message) {
    do {
      var line = try JSONEncoder().encode(message)
      line.append(10)
      try sending.withLock { _ in
        try line.withUnsafeBytes { bytes in
          var rest = bytes[...]
          while !rest.isEmpty {
            let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 { throw SystemError.last("write", "the runner's pipe") }
            rest = rest.dropFirst(count)
          }
        }
      }
    } catch {
      // Nobody listens any more: there is nothing left to do here.
      exit(3)
    }
  }
}
