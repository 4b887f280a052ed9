import ArgumentParser
import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import SystemKit

/// The process that removes what a run has left whose runner was killed. Only the runner starts it.
struct KeeperCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "keeper", abstract: "Cleans up after a runner that is killed.", shouldDisplay: false)

  @Option var runner: Int32
  @Option var directory: String
  @Option var target: String = ""

  func run() async throws {
    // What ends the runner in order, Ctrl-C or a closed terminal, must not end its keeper first.
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { signal(number) { _ in } }
    guard try await DedicatedThread.run({ Keeper.runnerWasKilled() }) else { return }
    let mark = Leftovers.mark(run: runner)
    try await DedicatedThread.run { [directory] in Leftovers(mark: mark, directory: directory).remove() }
    // The backend may be gone as well; files remain to be removed.
    if !target.isEmpty, let sweep = try? Target(named: target).sweep { try? await inTime("the removal", seconds: 20) { try await sweep(mark) } }
    for _ in 0..<20 {
      do { return try await DedicatedThread.run { [directory] in try Files.removeTree(directory) } } catch { try await Task.sleep(for: .milliseconds(100)) }
    }
  }
}
