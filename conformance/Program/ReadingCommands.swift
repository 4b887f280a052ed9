import ArgumentParser

/// The commands that run no case: they read the catalogue, or saved reports.
enum ReadingCommands {
  static let all: [any ParsableCommand.Type] = [ReportSampleCommand.self]
}
