extension Statement {
  /// How a tree is written as a layer, and made of layers.
  static let layer: [Statement] = [
    Statement("LY-01", .layer, "Distributable Format", .must, "a layer is a tar archive; gzip and zstd are ways to compress it"),
    Statement("LY-02", .layer, "Creating", .must, "a layer has no two entries for one path"),
    Statement("LY-03", .layer, "Attributes", .must, "entries carry mtime, owner, mode, extended attributes and the targets of links"),
    Statement(
      "LY-04", .layer, "Sparse Files", .should, "sparse files are not written as such",
      exempt: "a recommendation to writers that leaves the tree the same"),
    Statement("LY-05", .layer, "File Types", .must, "regular files, directories, sockets, links, devices and pipes"),
    Statement("LY-06", .layer, "Hardlinks", .must, "hard links of anything but directories are entries of type 1"),
    Statement("LY-07", .layer, "Populate a Comparison Filesystem", .must, "a change of a snapshot does not reach the directory it was copied from"),
    Statement("LY-08", .layer, "Applying Changesets", .must, "without whiteouts a layer is extracted as any tar"),
    Statement(
      "LY-09", .layer, "Changeset over existing files", .must,
      "a directory over a directory takes its attributes; anything else replaces what was there"),
    Statement("LY-10", .layer, "Whiteouts", .must, "a whiteout is an empty file .wh.NAME; without a name it is invalid"),
    Statement("LY-11", .layer, "Whiteouts", .must, "the whiteout itself is not seen after application"),
    Statement("LY-12", .layer, "Whiteouts", .must, "a whiteout touches lower layers only"),
    Statement("LY-13", .layer, "Whiteouts", .should, "a whiteout comes before its siblings"),
    Statement("LY-14", .layer, "Opaque Whiteout", .must, "an opaque whiteout hides all that lower layers have in the directory"),
    Statement("LY-15", .layer, "Opaque Whiteout", .must, "explicit whiteouts are written; both kinds are understood"),
    Statement("LY-16", .layer, "Opaque Whiteout", .must, "an opaque whiteout works before the layer's own entries, wherever it stands"),
    Statement(
      "LY-17", .layer, "Non-Distributable Layers", .should, "nondistributable layers are not pushed; the media type does not change the download",
      exempt: "about pushing, which no backend that the suite addresses does"),
    Statement(
      "LY-18", .layer, "Windows", .must, "attributes of files of Windows",
      exempt: "of another platform: this suite judges backends on Linux"),
  ]
}
