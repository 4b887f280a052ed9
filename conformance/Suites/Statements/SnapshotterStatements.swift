extension Statement {
  /// What callers of a snapshotter rely on.
  static let snapshotter: [Statement] = [
    Statement("SNAP-01", .snapshotter, "Snapshotter", .must, "every snapshot has a parent; the empty string is none"),
    Statement(
      "SNAP-02", .snapshotter, "Snapshotter", .must,
      "active snapshots come of Prepare and View only, committed ones of Commit only; kinds do not change"),
    Statement("SNAP-03", .snapshotter, "Snapshotter", .must, "a committed snapshot can be a parent, an active one never"),
    Statement("SNAP-04", .snapshotter, "Snapshotter", .must, "every snapshot can be removed"),
    Statement("SNAP-05", .snapshotter, "Snapshotter", .must, "names and keys share one space"),
    Statement("SNAP-06", .snapshotter, "Update", .must, "Update changes what is mutable only"),
    Statement("SNAP-07", .snapshotter, "Usage", .must, "Usage leaves out parents; it should honour cancellation and avoid locks"),
    Statement("SNAP-08", .snapshotter, "Mounts", .must, "Mounts gives again what Prepare or View gave, for active snapshots and views only"),
    Statement("SNAP-09", .snapshotter, "Prepare", .must, "a second Prepare or View with the same key fails"),
    Statement("SNAP-10", .snapshotter, "Prepare", .must, "a parent is committed; the tree begins as the parent's, and without one empty"),
    Statement("SNAP-11", .snapshotter, "View", .must, "a view cannot be committed, its changes are nowhere, and Remove frees it"),
    Statement("SNAP-12", .snapshotter, "Commit", .must, "Commit makes the name with the parent of the active snapshot, and the key is gone"),
    Statement("SNAP-13", .snapshotter, "Remove", .must, "Remove frees all that the key has; children go first"),
    Statement("SNAP-14", .snapshotter, "Walk", .must, "Walk filters by name, parent, kind and labels; without filters it shows all"),
    Statement("SNAP-15", .snapshotter, "Close", .must, "a second Close is no error"),
    Statement("SNAP-16", .snapshotter, "Labels", .must, "only labels of the reserved prefix are inherited"),
    Statement("SNAP-17", .snapshotter, "Cleaner", .must, "removal may be deferred, but the key is free at once"),
    Statement("SNAP-18", .snapshotter, "snapshots.proto, labels", .must, "key and value of a label have at most 4096 bytes together"),
    Statement("SNAP-20", .snapshotter, "Stat", .must, "Stat says whether there is a snapshot of a name or key, and which kind it has"),
    Statement("SNAP-21", .snapshotter, "Info", .must, "the info of a snapshot has the time it was made and the time of its last update"),
    Statement("SNAP-22", .snapshotter, "Walk", .must, "Walk calls the function once with the info of every snapshot that matches"),
    Statement("SNAP-23", .snapshotter, "Prepare", .must, "what is changed below the mounts of an active snapshot is captured in it"),
  ]
}
