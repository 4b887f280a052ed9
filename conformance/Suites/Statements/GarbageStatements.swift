extension Statement {
  /// What is kept, by what, and how long.
  static let garbage: [Statement] = [
    Statement("GC-01", .garbage, "Garbage Collection", .must, "whatever is made is in use or held by a lease at all times, or it may be collected"),
    Statement(
      "GC-02", .garbage, "Garbage Collection labels", .must, "labels say what a resource refers to: blobs and snapshots that are referred to stay with it"),
    Statement("GC-03", .garbage, "using gRPC", .must, "a call with the header containerd-lease works within that lease"),
    Statement("GC-04", .contentFlow, "Snapshots, Name", .must, "the committed snapshot of a layer is named after the layer and all below it"),
    Statement(
      "GC-05", .garbage, "Garbage Collection labels", .must,
      "what belongs together by nature needs no label: a container's snapshot, a snapshot's parent, an image's target"),
    Statement(
      "GC-06", .garbage, "Garbage Collection labels, gc.expire", .must, "a lease is removed after the time of its expiry, and holds nothing from then on"),
    Statement("GC-07", .garbage, "Garbage Collection labels, gc.flat", .must, "a flat lease does not follow the labels of what it holds"),
    Statement(
      "GC-08", .garbage, "Garbage Collection labels, gc.root", .must, "what is labelled as a root is kept with all that it refers to, whatever the value"),
  ]
}
