/// The way to the kernel.
public enum FuseTransport: String, Sendable, CaseIterable {
  /// `/dev/fuse` by ourselves: what a successor can go on with.
  case raw
  /// libfuse: a second opinion in tests, and what is left where the raw device must not be spoken to. It ends with its process.
  case libfuse
}
