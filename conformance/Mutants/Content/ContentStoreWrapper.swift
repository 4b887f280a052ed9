import Protocols

/// A content store around another. Every call is handed on, but those that are given here.
struct ContentStoreWrapper: ContentStore {
  typealias Store = any ContentStore

  let base: Store
  var onInfo: (@Sendable (Store, Digest) async throws -> ContentInfo)?
  var onUpdate: (@Sendable (Store, ContentInfo, FieldMask) async throws -> ContentInfo)?
  var onWalk: (@Sendable (Store, FilterSet, @Sendable (ContentInfo) async throws -> Void) async throws -> Void)?
  var onDelete: (@Sendable (Store, Digest) async throws -> Void)?
  var onStatus: (@Sendable (Store, String) async throws -> IngestStatus)?
  var onStatuses: (@Sendable (Store, FilterSet) async throws -> [IngestStatus])?
  var onAbort: (@Sendable (Store, String) async throws -> Void)?
  var onReader: (@Sendable (Store, Digest) async throws -> any ContentReader)?
  var onWriter: (@Sendable (Store, String, IngestExpectation) async throws -> any ContentWriter)?

  init(_ base: Store, _ change: (inout ContentStoreWrapper) -> Void = { _ in }) {
    self.base = base
    change(&self)
  }

  /// Every writer that is opened is wrapped.
  mutating func wrapWriters(_ change: @escaping @Sendable (inout ContentWriterWrapper) -> Void) {
    onWriter = { base, ref, expected in
      ContentWriterWrapper(try await base.writer(ref: ref, expected: expected), ref: ref, expected: expected, in: base, change)
    }
  }

  /// Every reader that is opened is wrapped.
  mutating func wrapReaders(_ change: @escaping @Sendable (inout ContentReaderWrapper) -> Void) {
    onReader = { base, digest in ContentReaderWrapper(try await base.reader(digest), of: digest, in: base, change) }
  }

  func info(_ digest: Digest) async throws -> ContentInfo {
    if let onInfo { return try await onInfo(base, digest) }
    return try await base.info(digest)
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    if let onUpdate { return try await onUpdate(base, info, fields) }
    return try await base.update(info, fields: fields)
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    if let onWalk { return try await onWalk(base, filters, visit) }
    try await base.walk(filters, visit)
  }
  func delete(_ digest: Digest) async throws {
    if let onDelete { return try await onDelete(base, digest) }
    try await base.delete(digest)
  }
  func status(ref: String) async throws -> IngestStatus {
    if let onStatus { return try await onStatus(base, ref) }
    return try await base.status(ref: ref)
  }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    if let onStatuses { return try await onStatuses(base, filters) }
    return try await base.statuses(filters)
  }
  func abort(ref: String) async throws {
    if let onAbort { return try await onAbort(base, ref) }
    try await base.abort(ref: ref)
  }
  func reader(_ digest: Digest) async throws -> any ContentReader {
    if let onReader { return try await onReader(base, digest) }
    return try await base.reader(digest)
  }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    if let onWriter { return try await onWriter(base, ref, expected) }
    return try await base.writer(ref: ref, expected: expected)
  }
}

/// A writer around another.
struct ContentWriterWrapper: ContentWriter {
  let base: any ContentWriter
  let ref: String
  let expected: IngestExpectation
  /// The store that the writer is of.
  let store: any ContentStore
  var onStatus: (@Sendable (Self) async throws -> IngestStatus)?
  var onWrite: (@Sendable (Self, [UInt8], Int64?) async throws -> Void)?
  var onTruncate: (@Sendable (Self, Int64) async throws -> Void)?
  var onDigest: (@Sendable (Self) async throws -> Digest)?
  var onCommit: (@Sendable (Self, IngestExpectation, Labels) async throws -> Digest)?
  var onClose: (@Sendable (Self) async -> Void)?

  init(_ base: any ContentWriter, ref: String, expected: IngestExpectation, in store: any ContentStore, _ change: (inout ContentWriterWrapper) -> Void) {
    self.base = base
    self.ref = ref
    self.expected = expected
    self.store = store
    change(&self)
  }

  func status() async throws -> IngestStatus {
    if let onStatus { return try await onStatus(self) }
    return try await base.status()
  }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    if let onWrite { return try await onWrite(self, bytes, offset) }
    try await base.write(bytes, at: offset)
  }
  func truncate(to offset: Int64) async throws {
    if let onTruncate { return try await onTruncate(self, offset) }
    try await base.truncate(to: offset)
  }
  func digest() async throws -> Digest {
    if let onDigest { return try await onDigest(self) }
    return try await base.digest()
  }
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    if let onCommit { return try await onCommit(self, expected, labels) }
    return try await base.commit(expected, labels: labels)
  }
  func close() async {
    if let onClose { return await onClose(self) }
    await base.close()
  }
}

/// A reader around another.
struct ContentReaderWrapper: ContentReader {
  let base: any ContentReader
  let digest: Digest
  let store: any ContentStore
  var onSize: (@Sendable (Self) -> Int64)?
  var onRead: (@Sendable (Self, Int64, Int) async throws -> [UInt8])?

  init(_ base: any ContentReader, of digest: Digest, in store: any ContentStore, _ change: (inout ContentReaderWrapper) -> Void) {
    self.base = base
    self.digest = digest
    self.store = store
    change(&self)
  }

  var size: Int64 { onSize.map { $0(self) } ?? base.size }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    if let onRead { return try await onRead(self, offset, count) }
    return try await base.read(at: offset, count: count)
  }
  func close() async { await base.close() }
}
