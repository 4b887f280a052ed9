extension Statement {
  /// Pulling from a registry: what a client may rely on and must check.
  static let distribution: [Statement] = [
    Statement("DS-01", .distribution, "Pull", .must, "a repository name has the form of the expression"),
    Statement(
      "DS-02", .distribution, "Pulling manifests", .must, "a reference is a digest or a tag",
      exempt: "how a user writes a name is each client's own; what goes over the wire is judged by DS-08 and DS-11"),
    Statement(
      "DS-03", .distribution, "Pulling manifests", .must, "a tag has at most 128 characters of the allowed ones",
      exempt: "binds registries and those who push; a client hands the tag on"),
    Statement(
      "DS-04", .distribution, "Pull", .may, "many clients allow 255 characters for host and name",
      exempt: "a note on the habits of clients, not a promise"),
    Statement("DS-05", .distribution, "Pulling manifests", .should, "a client says what it accepts"),
    Statement("DS-06", .distribution, "Pulling manifests", .should, "parameters of a content type are ignored"),
    Statement("DS-07", .distribution, "Pulling manifests", .should, "a manifest whose media type is not the content type is rejected"),
    Statement("DS-08", .distribution, "Pulling manifests", .must, "a manifest that is there is answered with 200 and itself"),
    Statement("DS-09", .distribution, "Pulling manifests", .must, "the answer carries Docker-Content-Digest"),
    Statement("DS-10", .distribution, "Pulling manifests", .must, "a client that uses that header verifies it, whatever its algorithm"),
    Statement("DS-11", .distribution, "Pulling manifests", .should, "a manifest fetched by digest is verified"),
    Statement("DS-12", .distribution, "Pulling manifests", .must, "a manifest that is not there is answered with 404"),
    Statement("DS-13", .distribution, "Pulling blobs", .must, "a blob that is there is answered with 200 and its bytes"),
    Statement("DS-14", .distribution, "Pulling blobs", .must, "a digest header of a blob fits its bytes, and a client that uses it verifies"),
    Statement("DS-15", .distribution, "Pulling blobs", .should, "a client verifies a blob against the digest asked for"),
    Statement("DS-16", .distribution, "Pulling blobs", .must, "a blob that is not there is answered with 404"),
    Statement("DS-17", .distribution, "Pulling blobs", .should, "ranges are supported"),
    Statement("DS-18", .distribution, "Checking if content exists", .must, "HEAD answers 200 with digest and length, or 404"),
    Statement("DS-19", .distribution, "Checking if content exists", .may, "an old registry may leave out the digest, which is then sha256"),
    Statement(
      "DS-20", .distribution, "Conformance", .must, "a registry supports pulling, wholly",
      exempt: "about registries: this suite is the registry, and judges the client"),
  ]
}
