import Protocols

/// How a layer's archive is packed, by its media type (OCI image-spec, layer.md; Docker schema 2).
enum Compression: Sendable {
  case none, gzip, zstd

  static let uncompressedMediaType = "application/vnd.oci.image.layer.v1.tar"

  /// `notImplemented` for what is no layer that we can read.
  init(mediaType: String) throws(ContainerdError) {
    switch mediaType {
    case "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar",
      "application/vnd.docker.image.rootfs.diff.tar":
      self = .none
    case "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
      self = .gzip
    case "application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
      "application/vnd.docker.image.rootfs.diff.tar.zstd":
      self = .zstd
    default: throw .notImplemented("media type \"\(mediaType)\" as a layer")
    }
  }
}
