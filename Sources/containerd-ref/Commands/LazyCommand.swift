import ArgumentParser
import BlockingIO
import Foundation
import FuseSnapshotter
import Protocols

struct LazyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lazy", abstract: "What a snapshotter of lazy layers has, and what it has not.", subcommands: [Status.self])

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show how much of every lazy layer is here, and why other layers are not lazy.",
      discussion: "It is read off the snapshotter's directory: no server need run, and none is asked.")
    @Option(help: "The snapshotter's directory.")
    var root = "/var/lib/containerd-ref/snapshotter"
    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
      let root = root
      let status = try await DedicatedThread.run { try LazyStatus.read(root: root) }
      for failure in status.failures { Failure.say(failure) }
      if json { return try Output.json(status) }
      Output.text(LazyReport(status).text(now: Timestamp.now().seconds))
    }
  }
}

/// For people.
struct LazyReport {
  private let status: LazyStatus

  init(_ status: LazyStatus) { self.status = status }

  func text(now: Int64) -> String {
    var parts: [String] = []
    if status.images.isEmpty { parts.append("no snapshot is lazy\n") }
    for image in status.images { parts.append("\(image.reference)\n" + table(image)) }
    if !status.unused.isEmpty { parts.append("\(status.unused.count) layers are of no snapshot, and go with the next clean-up\n") }
    if !status.declined.isEmpty {
      parts.append("not lazy:\n" + status.declined.reversed().map { "  \(short($0.reference)) \(Human.age(now - $0.time)): \($0.reason)\n" }.joined())
    }
    return parts.joined(separator: "\n")
  }

  private func table(_ image: LazyStatus.Image) -> String {
    var table = Table(["  LAYER", "SIZE", "HERE", "RECORDED", "STATE", "SNAPSHOT", "PLACE"])
    for layer in image.layers {
      let snapshots = image.snapshots.filter { $0.layer == layer.digest }
      let here = layer.state == .missing ? "-" : String(format: "%.1f %%", layer.percent)
      let recorded = layer.recorded.map { "\(Human.size($0.all)), \(String(format: "%.0f %%", $0.percent))" } ?? "-"
      let places = snapshots.map { snapshot in
        switch (snapshot.isGraduated, snapshot.mount) {
        case (true, nil): "directory"
        // Who began before it had one stays on the mount.
        case (true, let mount?): "directory, still mounted at \(mount)"
        case (false, let mount?): "mounted at \(mount)"
        case (false, nil): "not mounted"
        }
      }
      table.add([
        "  " + short(layer.digest), Human.size(layer.size), here, recorded, layer.state.rawValue, snapshots.map { "\($0.number)" }.joined(separator: ","),
        Set(places).count == 1 ? places[0] : places.joined(separator: ", "),
      ])
    }
    let reasons = image.layers.compactMap { layer in layer.reason.map { "  \(short(layer.digest)) is poisoned: \($0)\n" } }
    return table.text + reasons.joined()
  }

  /// `sha256:` and twelve digits.
  private func short(_ digest: String) -> String { String(digest.prefix(19)) }
}
