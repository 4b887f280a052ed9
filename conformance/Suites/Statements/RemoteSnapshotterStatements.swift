extension Statement {
  /// Snapshots that are there before anything is fetched, and mounts with targets.
  static let remoteSnapshotter: [Statement] = [
    Statement("REM-01", .remoteSnapshotter, "remote-snapshotter.md", .must, "a snapshotter that has the layer answers Prepare with \"already exists\""),
    Statement("REM-02", .remoteSnapshotter, "remote-snapshotter.md", .must, "the client then asks for the ChainID and skips fetching and unpacking"),
    Statement("REM-03", .remoteSnapshotter, "remote-snapshotter.md", .must, "labels for the snapshotter carry the reserved prefix"),
    Statement("MNT-01", .remoteSnapshotter, "README.md, mount targets", .may, "a mount may carry a target below the root, whose directory must exist"),
  ]
}
