extension Statement {
  /// Layers whose bytes come when they are read.
  static let lazy: [Statement] = [
    Statement("LAZ-01", .lazy, "Trees", .must, "a lazy tree is the unpacked one, to the last attribute"),
    Statement("LAZ-02", .lazy, "Reads", .must, "a read gives the image's bytes or an error of input and output, nothing else"),
    Statement("LAZ-03", .lazy, "Reads", .must, "a read ends in the time that the backend names, and keeps no call waiting"),
    Statement("LAZ-04", .lazy, "Reads", .must, "what fails is tried again, and what failed can be read in the same mount when its cause is gone"),
    Statement("LAZ-05", .lazy, "Traffic", .must, "each byte is fetched about once, and a little for a little"),
    Statement("LAZ-06", .lazy, "Reads", .must, "what has been fetched is read without the registry"),
    Statement("LAZ-07", .lazy, "Credentials", .must, "credentials that ran out are renewed, and never logged"),
    Statement("LAZ-08", .lazy, "Ends", .must, "with the last user go the mounts and the bytes, and not before"),
    Statement(
      "LAZ-09", .lazy, "Ends", .must, "what the end of the server does to reads is declared: nothing, or an error; the next server finds every snapshot"),
    Statement("LAZ-10", .lazy, "Ends", .must, "after any end of the server there is one mount for each chain that is used, and none for others"),
    Statement("LAZ-11", .lazy, "Trees", .must, "whoever is in a lazy tree may do what its modes say, and nobody may change a layer below it"),
    Statement("LAZ-12", .lazy, "Reads", .must, "what somebody waits for goes before what nobody waits for"),
  ]
}
