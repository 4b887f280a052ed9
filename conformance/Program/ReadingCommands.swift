import ArgumentParser

/// The commands that run no case: they read the catalogue, or saved reports.
enum ReadingCommands {
  static let all: [any ParsableCommand.Type] = [
    CoverageCommand.self, ExplainCommand.self, DiffCommand.self, MatrixCommand.self, ReportCommand.self, BadgeCommand.self, ReportSampleCommand.self,
  ]
}
