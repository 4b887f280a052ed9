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
  ]
}
