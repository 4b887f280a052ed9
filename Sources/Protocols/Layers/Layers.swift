/// # Layers
///
/// An applier turns an archive into files; a differ turns files into an archive. Both learn *where* from mounts alone, and
/// *what* from a content store; neither knows keys, snapshotters or images. Both may be called concurrently. Mounts that
/// cannot be performed are an error, and nothing stays mounted.
///
/// The archive is tar, plain or compressed with gzip or zstd, with OCI whiteouts (image-spec, layer.md): `.wh.NAME` deletes NAME of
/// the lower layers, `.wh..wh..opq` hides everything that the lower layers have in that directory; neither touches entries of
/// the same archive, in whatever order they come.
public protocol LayerApplier: Sendable {
  /// Writes the layer into the tree that the mounts make, and says what it was uncompressed.
  ///
  /// Nothing outside the tree is ever read or written, whatever links the archive or the tree holds. `notFound` if the blob is
  /// missing; `invalidArgument` without mounts, and for a broken archive, naming entry and offset; `failedPrecondition` if `diffID` is given and
  /// differs, or the blob's bytes do not have the descriptor's digest; `notImplemented` for an unknown media type. On any error the tree's contents are undefined,
  /// and the snapshot must be discarded. On return everything is flushed to disk when `sync` is set.
  func apply(
    _ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions
  ) async throws -> Descriptor
}

public struct ApplyOptions: Hashable, Sendable {
  /// The digest that the uncompressed archive must have.
  public var diffID: Digest?
  /// Flush the file system before returning.
  public var sync: Bool
  public init(diffID: Digest? = nil, sync: Bool = true) {
    self.diffID = diffID
    self.sync = sync
  }
}

public protocol LayerDiffer: Sendable {
  /// Writes what turns `lower` into `upper` as one layer, and returns its descriptor.
  ///
  /// The blob carries the label `containerd.io/uncompressed` with its DiffID besides `options.labels`. The same trees make the
  /// same bytes. `notImplemented` for an unknown media type.
  func diff(
    from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions
  ) async throws -> Descriptor
}

public struct DiffOptions: Hashable, Sendable {
  /// An OCI or Docker layer media type; empty means OCI tar+gzip.
  public var mediaType: String
  /// The ingest's ref; empty means one made up.
  public var ref: String
  public var labels: Labels
  public init(mediaType: String = "", ref: String = "", labels: Labels = [:]) {
    self.mediaType = mediaType
    self.ref = ref
    self.labels = labels
  }
}
