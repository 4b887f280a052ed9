import ArgumentParser
import Foundation

struct SnapshotterOption: ParsableArguments {
  @Option(name: .customLong("snapshotter"), help: ArgumentHelp("The snapshotter to unpack into; also from $CONTAINERD_SNAPSHOTTER.", valueName: "name"))
  var name = ProcessInfo.processInfo.environment["CONTAINERD_SNAPSHOTTER"] ?? "overlayfs"
}
