/// Which indexes that others made are believed, until a layer is whole and was checked.
///
/// Whoever made an index decides what is read out of the layer until then, and only until then: the whole is held against the image's own digests.
public enum IndexTrust: String, Sendable, Hashable, CaseIterable {
  /// None: only what was made on this machine out of a layer that was complete.
  case local
  /// Those whose author could have written the image as well: referrers in the image's own repository, and tables inside the layer.
  case repository
  /// Those too that refer to the image in other repositories that are configured.
  case any
}
