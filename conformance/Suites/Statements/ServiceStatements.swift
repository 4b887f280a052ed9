extension Statement {
  /// What the services of a daemon promise beside content and snapshots.
  static let service: [Statement] = [
    Statement("IMG-01", .services, "images.proto, Image", .must, "an image is a name for a descriptor, and a name is taken once"),
    Statement("IMG-02", .services, "images.proto, ListImagesRequest", .must, "a listing shows what any of its filters matches, and all without filters"),
    Statement("IMG-03", .services, "images.proto, UpdateImageRequest", .must, "an update changes what its mask names, and with an empty mask everything"),
    Statement("CTR-01", .services, "containers.proto, Container", .must, "a container is the record of what to run, kept as it was given; it has no state"),
    Statement("CTR-02", .services, "containers.proto, Container", .must, "the id of a container is never changed, other fields follow the mask"),
    Statement("LEA-01", .services, "leases.proto, CreateRequest", .must, "a lease has the id that was asked for, or one that is made up"),
    Statement("LEA-02", .services, "leases.proto, Delete", .must, "what only a deleted lease held may be collected"),
    Statement("LEA-03", .services, "leases.proto, List", .must, "a listing shows every lease"),
    Statement("LEA-04", .services, "leases.proto, AddResource", .must, "resources are added to a lease, taken away from it, and listed"),
    Statement(
      "DIF-01", .services, "diff.proto, Apply", .must,
      "Apply writes the content that the descriptor names onto the mounts, decompressed where it has to be, and tells what that was"),
    Statement(
      "DIF-02", .services, "diff.proto, Diff", .must, "Diff computes what leads from the left mounts to the right ones, and puts it into the content store"),
    Statement("DIF-03", .services, "diff.proto, DiffRequest", .must, "the blob of a difference has the labels that were asked for"),
    Statement(
      "ERR-01", .errors, "errgrpc", .must,
      "each class of errors has one status: not found is NotFound, an invalid argument InvalidArgument, a failed precondition FailedPrecondition"),
    Statement("FLT-01", .filters, "package filters", .must, "a selector asks whether a field is there, equals a value, does not, or matches an expression"),
    Statement("FLT-02", .filters, "package filters", .must, "selectors joined by commas must all hold, and of several filters one is enough"),
    Statement("FLT-03", .filters, "ParseAll", .must, "what is no filter is an error"),
    Statement("FLT-04", .filters, "ParseAll", .should, "what is no filter is an invalid argument"),
    Statement(
      "IDN-01", .identifiers, "Validate", .must, "an identifier has at most 76 letters and digits, with single dots, dashes and underscores between them"),
  ]
}
