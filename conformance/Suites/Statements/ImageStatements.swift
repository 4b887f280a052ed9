extension Statement {
  /// Descriptors, manifests, indexes, configurations and layouts.
  static let image: [Statement] = [
    Statement(
      "IM-01", .image, "descriptor.md, Digests", .must, "a digest has the form of the grammar",
      exempt: "the suite hands out only digests that its own types have checked, and a backend makes its own from what it has hashed"),
    Statement("IM-02", .image, "descriptor.md, Digests", .must, "sha256 is understood, in 64 lower-case digits; sha512 in 128"),
    Statement(
      "IM-03", .image, "descriptor.md, Digests", .should, "an unknown algorithm passes where its form is right",
      exempt: "whoever has to hash cannot take what it cannot hash: a digest that only passes shows nowhere"),
    Statement("IM-04", .image, "descriptor.md, Digests", .should, "size first and digest before use are verified"),
    Statement("IM-05", .image, "descriptor.md, Embedded Content", .should, "embedded data equals the content, and is verified"),
    Statement("IM-06", .image, "descriptor.md, Properties", .should, "content of another size is not trusted, and a size is not negative"),
    Statement("IM-07", .image, "manifest.md", .must, "layers stand in order from the base, and give the tree when applied to an empty directory"),
    Statement("IM-08", .image, "manifest.md", .must, "unknown media types do not keep content from being stored and copied"),
    Statement("IM-09", .image, "manifest.md", .must, "plain and gzip layers are understood, zstd ones should be"),
    Statement("IM-10", .image, "image-index.md", .must, "an unknown media type in an index is no error; the first match is used"),
    Statement(
      "IM-11", .image, "config.md", .must, "rootfs.type is layers, or unpacking fails; other fields are no error",
      exempt: "a client reads the configuration and unpacks; the suite judges what it unpacks with"),
    Statement("IM-12", .image, "considerations.md", .must, "content is never rewritten so that its digest changes; unknown properties are kept"),
    Statement("IM-13", .image, "config.md, Layer ChainID", .must, "DiffID is the digest of the plain tar, ChainID the digest of the chain"),
    Statement(
      "IM-14", .image, "image-layout.md", .must, "a layout has oci-layout with its version, index.json, and blobs under their digests",
      exempt: "a file layout on disk belongs to image tools: no backend that this suite addresses reads or writes one"),
    Statement(
      "IM-15", .image, "conversion.md", .must, "fields and annotations are taken over as written, Entrypoint and Cmd joined",
      exempt: "a client makes the runtime's configuration of the image's; no backend at an address does"),
  ]
}
