extension Statement {
  /// What callers of a content store rely on.
  static let content: [Statement] = [
    Statement("CON-01", .content, "Ingester", .must, "what is written is no content until Commit"),
    Statement("CON-02", .content, "Manager", .must, "Info of what is unknown is \"not found\""),
    Statement("CON-03", .content, "Manager", .must, "only labels can be changed"),
    Statement("CON-04", .content, "Ingester", .must, "a writer of the same ref goes on where the last stopped"),
    Statement("CON-05", .content, "Writer", .must, "Close before Commit leaves the ingest to be resumed or aborted; a second Close is no error"),
    Statement(
      "CON-06", .content, "Writer", .may, "Digest may be empty before Commit",
      exempt: "a permission: no answer before Commit breaks it"),
    Statement(
      "CON-07", .content, "Writer", .must,
      "Commit always closes the writer; a blob that is there is \"already exists\"; size and digest may be left open"),
    Statement("CON-08", .content, "IngestManager", .must, "Abort takes the ingest away wholly"),
    Statement(
      "CON-09", .content, "content.proto, Write", .must,
      "one stream per ref, in order; a digest that is expected and there fails it; starting over at offset 0 works"),
    Statement("CON-10", .content, "content.proto, Read", .must, "an offset of 0 or less is the start, a size of 0 everything"),
    Statement("CON-20", .content, "Store", .must, "a finished ingest is content, and is no ingest any more"),
    Statement("CON-21", .content, "Ingester", .must, "an ingest is known by its ref, and by nothing else"),
    Statement("CON-22", .content, "IngestManager", .must, "ListStatuses shows the ingests that match, and without filters all"),
    Statement(
      "CON-23", .content, "Status", .must, "the status of an ingest has its ref, its offset, the total and the digest that are expected, and its times"),
    Statement("CON-24", .content, "Manager", .must, "Walk calls the function with the info of every blob that matches, and without filters of all"),
    Statement("CON-25", .content, "Manager", .must, "Delete takes a blob out of the store"),
    Statement("CON-26", .content, "Writer", .must, "Truncate gives the ingest another length"),
    Statement("CON-27", .content, "Info", .must, "the info of a blob has its digest, size and labels, and the times of its making and of its last update"),
    Statement("CON-28", .content, "content.proto, WriteContentRequest", .must, "of the sizes and digests that are expected the last ones told count"),
    Statement("CON-29", .content, "ReaderAt", .must, "a blob is read at any offset, by many at the same time"),
    Statement("CON-30", .content, "content.proto, Write", .must, "a commit is refused where size or digest are not the ones that are expected"),
  ]
}
