import ArgumentParser
import ConformanceKit
import ConformanceTargets

// A worker changes its mount namespace, which only works while there is one thread: before anything else.
if CommandLine.arguments.dropFirst().first == "worker" {
  if let problem = Worker.isolate(memoryLimit: 4 << 30), CommandLine.arguments.contains("--must-isolate") {
    print("no isolation: \(problem)")
  }
}

/// In a function, because top-level code would choose the synchronous `main`.
func start() async { await ConformanceCommand.main() }
await start()
