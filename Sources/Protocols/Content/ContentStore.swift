/// # Content
///
/// A content store keeps immutable blobs by digest, and *ingests*: uploads under way, each known by a caller-chosen *ref*.
///
///     let writer = try await store.writer(ref: "layer-sha256:ab…", expected: IngestExpectation(size: 1234, digest: digest))
///     try await writer.write(bytes, at: nil)
///     try await writer.commit(IngestExpectation(size: 1234, digest: digest), labels: [:])
///     let reader = try await store.reader(digest)
///
/// Laws.
/// 1. A blob appears whole or not at all: when `commit` returns, bytes and directory entry are durable; before, nothing lists it.
/// 2. A blob never changes. Committing bytes that the store has already is `alreadyExists` and leaves the ingest to `abort`.
/// 3. One writer at a time holds a ref; a second is `unavailable` until the first is closed, committed or aborted.
/// 4. Closing a writer, or a crash, keeps the ingest; opening the ref again resumes at the offset that is on disk.
/// 5. A store knows no image, layer or tar: it stores bytes.
///
/// All methods may be called concurrently. Every error is a `ContainerdError`.
public protocol ContentStore: ContentProvider, ContentIngester {
  /// `notFound` if there is no such blob.
  func info(_ digest: Digest) async throws -> ContentInfo

  /// Changes labels as the mask says and returns what is now stored; `updatedAt` advances. Only labels are mutable:
  /// any other path is `invalidArgument`. `notFound` if there is no such blob.
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo

  /// Visits every blob that a filter matches (fields `digest`, `size`, `labels.KEY`), in no order. An error thrown by the
  /// visitor ends the walk and is thrown. Blobs committed or deleted meanwhile, by the visitor too, may or may not be seen.
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws

  /// `notFound` if there is no such blob. Readers that are open go on reading.
  func delete(_ digest: Digest) async throws

  /// `notFound` if no ingest has this ref.
  func status(ref: String) async throws -> IngestStatus

  /// Every ingest that a filter matches (field `ref`), in no order.
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus]

  /// Forgets the ingest and its bytes, `notFound` if there is none. An open writer of it fails from then on.
  func abort(ref: String) async throws
}

/// The reading half: all that an applier needs.
public protocol ContentProvider: Sendable {
  /// `notFound` if there is no such blob.
  func reader(_ digest: Digest) async throws -> any ContentReader
}

/// The writing half: all that a puller needs.
public protocol ContentIngester: Sendable {
  /// Opens or resumes the ingest `ref`.
  ///
  /// `alreadyExists` if `expected.digest` names a blob that the store has; `unavailable` while another writer holds the ref;
  /// `invalidArgument` for an empty ref. An ingest whose earlier expected size differs starts anew.
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter
}

/// Reads one blob; it stays readable until closed, whatever happens to the name.
public protocol ContentReader: Sendable {
  var size: Int64 { get }
  /// Up to `count` bytes from `offset`; fewer only at the end, none at or after it. `outOfRange` for a negative offset.
  func read(at offset: Int64, count: Int) async throws -> [UInt8]
  func close() async
}

/// The one holder of an ingest. Calls are not meant to overlap; if they do they run one after another.
public protocol ContentWriter: Sendable {
  func status() async throws -> IngestStatus

  /// Adds bytes at the end. `at`, where given, must be the present offset, else `outOfRange` and nothing is written.
  func write(_ bytes: [UInt8], at offset: Int64?) async throws

  /// Cuts the ingest to `offset` bytes, at most the present ones (`outOfRange`).
  func truncate(to offset: Int64) async throws

  /// The digest of the bytes so far.
  func digest() async throws -> Digest

  /// Makes the blob durable and visible, and ends the ingest.
  ///
  /// `failedPrecondition` if size or digest differ from what the call expects, or where it leaves that open, what the opening
  /// expected (a caller may learn better while it uploads): the ingest stays, closed.
  /// `alreadyExists` if the store has the blob: the ingest's bytes are dropped.
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest

  /// Lets go of the ref and keeps the bytes for a later resume. Harmless after `commit` or twice.
  func close() async
}

public struct ContentInfo: Hashable, Sendable {
  public var digest: Digest
  /// Bytes.
  public var size: Int64
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  public var labels: Labels

  public init(digest: Digest, size: Int64 = 0, createdAt: Timestamp = .never, updatedAt: Timestamp = .never, labels: Labels = [:]) {
    self.digest = digest
    self.size = size
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.labels = labels
  }
}

/// What an upload should turn out to be; nil or 0 where the caller does not know.
public struct IngestExpectation: Hashable, Sendable {
  public var size: Int64?
  public var digest: Digest?
  public init(size: Int64? = nil, digest: Digest? = nil) {
    self.size = size == 0 ? nil : size
    self.digest = digest
  }

  /// What this expects, and where it leaves something open what `other` does.
  public func or(_ other: IngestExpectation) -> IngestExpectation {
    IngestExpectation(size: size ?? other.size, digest: digest ?? other.digest)
  }
}

public struct IngestStatus: Hashable, Sendable {
  public var ref: String
  /// Bytes written so far.
  public var offset: Int64
  /// Expected size in bytes, 0 where unknown.
  public var total: Int64
  public var expected: Digest?
  public var startedAt: Timestamp
  public var updatedAt: Timestamp

  public init(ref: String, offset: Int64, total: Int64, expected: Digest?, startedAt: Timestamp, updatedAt: Timestamp) {
    self.ref = ref
    self.offset = offset
    self.total = total
    self.expected = expected
    self.startedAt = startedAt
    self.updatedAt = updatedAt
  }
}
