import ArgumentParser
import ConformanceKit
import ConformanceTargets

struct ConformanceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "containerd-conformance",
    abstract: "Tells whether a snapshotter, content store, differ, runtime, shim, registry client or daemon keeps its contract.",
    discussion: "Start with `containerd-conformance run inproc:fake`. Addresses:\n"
      + TargetScheme.all.map { "  \($0.form)\n      \($0.summary)" }.joined(separator: "\n"),
    subcommands: [
      RunCommand.self, ListCommand.self, ReproCommand.self, MutateCommand.self, SelfTestCommand.self, DoctorCommand.self, InitCommand.self, FiguresCommand.self,
      DifferCommand.self, ReplayCommand.self, EngineCheckCommand.self, WorkerCommand.self, KeeperCommand.self,
      VictimCommand.self,
    ] + ReadingCommands.all)
}
