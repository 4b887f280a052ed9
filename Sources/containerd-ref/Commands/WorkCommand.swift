import ArgumentParser
import BlockingIO
import CLinux
import ContainerdClient
import FuseServer
import LazyImages
import LazyLayers
import Protocols
import SystemKit

/// What a server has done by a process of its own: see WorkPlace.
struct WorkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "work", abstract: "Do a piece of work for a server, and say how it went.",
    discussion: "A server starts it. It ends when the server does: its standard input has an end then.", shouldDisplay: false)
  @Argument(help: "What is to be done.")
  var name: String
  @Argument(help: "To what, as JSON.")
  var work: String

  /// What starts a child of this very program, whatever is in its place by now.
  static let place = WorkPlace(command: ["/proc/self/exe", "snapshotter", "work"])

  func run() async throws {
    _ = DedicatedThread.detach {
      var byte: UInt8 = 0
      while true {
        let count = read(0, &byte, 1)
        if count == 0 || (count < 0 && clinux_errno() != EINTR) { _exit(1) }
      }
    }
    let answer = try await answer()
    try await DedicatedThread.run { try answer.withUnsafeBytes { try Files.writeAll($0, to: OwnedFD(adopting: 1), path: "standard output") } }
  }

  private func answer() async throws -> [UInt8] {
    // Readers go before the check of what they have read.
    if name == LayerWork.verification, clinux_be_modest() != 0 { Failure.say("\(SystemError.last("setpriority", "of a check"))") }
    if let answer = try await LayerWork.answer(to: name, work) { return answer }
    switch name {
    case TreeWork.name:
      return try await WorkAnswer.to(work, as: TreeWork.self) { work in try await DedicatedThread.run { try work.perform() } }
    case IndexWork.name:
      // Where that is not permitted, nobody is spared.
      if clinux_be_idle() != 0 { Failure.say("\(SystemError.last("sched_setscheduler", "SCHED_IDLE"))") }
      return try await WorkAnswer.to(work, as: IndexWork.self) { work in
        try await ContainerdClient.with(socket: work.daemon, namespace: work.namespace) { try await work.perform($0.content) }
      }
    default: throw ContainerdError.notImplemented("work \"\(name)\"")
    }
  }
}
