extension Statement {
  /// What a shim owes to the daemon that starts it.
  static let shim: [Statement] = [
    Statement("SHIM-01", .shim, "start", .must, "start begins a shim and writes its address, or a document with it"),
    Statement("SHIM-02", .shim, "delete", .must, "delete takes the flags it is given and cleans up"),
    Statement("SHIM-03", .shim, "Flags", .should, "-v tells the version"),
    Statement("SHIM-04", .shim, "Flags", .should, "-info tells about the runtime"),
    Statement("SHIM-05", .shim, "Filesystems", .must, "the shim mounts the root file system into the bundle and unmounts it"),
    Statement("SHIM-06", .shim, "delete", .must, "delete leaves nothing mounted in the bundle"),
    Statement("SHIM-07", .shim, "Events", .must, "create, then start, then exit, then delete: events come in that order"),
    Statement("SHIM-08", .shim, "Events", .must, "exec-added, then exec-started, then exit: events of further processes come in that order"),
    Statement("SHIM-09", .shim, "Events", .should, "paused, resumed, checkpointed and out-of-memory are told"),
    Statement("SHIM-10", .shim, "Other", .must, "a call that is not supported is \"not implemented\""),
    Statement("SHIM-11", .shim, "Logging", .must, "standard streams go to pipes, files or programs as their addresses say"),
    Statement("SHIM-12", .shim, "Other", .must, "a shim reaps the processes of its container"),
  ]
}
