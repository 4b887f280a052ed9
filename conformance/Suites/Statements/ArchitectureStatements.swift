extension Statement {
  /// The laws between the layers, and what our own pages promise of shims and databases.
  static let architecture: [Statement] = [
    Statement("LAW-01", .laws, "law 1", .must, "a layer knows what the protocols say, and nothing of how another one does it"),
    Statement("LAW-02", .laws, "law 2", .must, "a pull is fetching and storing content: it touches no snapshot"),
    Statement("LAW-03", .laws, "law 3", .must, "unpacking reads content, applies it to mounts and commits; mounts alone say where"),
    Statement("LAW-04", .laws, "law 4", .must, "a snapshotter knows keys, parents, labels and mounts, and nothing of what lies in them"),
    Statement("LAW-05", .laws, "law 5", .must, "mounts are handed on as they are, and performed and undone as a unit by whoever runs or unpacks"),
    Statement("LAW-06", .laws, "law 6", .must, "create makes the whole environment and runs nothing of the user's; start runs the program"),
    Statement("LAW-07", .laws, "law 7", .must, "a container outlives the daemon: its shim is its parent, keeps its streams and records its end"),
    Statement("LAW-08", .laws, "law 8", .must, "every resource is in use, leased or collectable, also after a failure at any moment"),
    Statement("SHD-01", .shimPage, "Promises", .must, "Shutdown ends a shim only when it has no containers"),
    Statement("DB-01", .metadata, "Metadata", .must, "a call that has returned is on disk"),
    Statement(
      "DB-02", .metadata, "When the file is lost or damaged", .should, "a database that is missing where there is data is told, and not taken for an empty one"),
    Statement("DB-03", .metadata, "When the file is lost or damaged", .must, "a damaged database is refused by name"),
    Statement("DB-04", .metadata, "When the file is lost or damaged", .must, "a database of a later version is refused by name"),
    Statement("DB-05", .metadata, "When the file is lost or damaged", .should, "on a full disk the error is of the class resource exhausted"),
  ]
}
