import OCI
import Protocols

/// One blob on its way from the registry into the store: opened where it stopped, written as it comes, committed under its digest.
struct BlobFetch: Sendable {
  let fetcher: any Fetcher
  let content: any ContentStore
  let image: ImageReference
  let lockPatience: Duration
  let progress: @Sendable (PullProgress) -> Void

  /// What had been downloaded, and was resumed from there, is not the blob; or another pull of it, which found so, has taken the ingest away.
  private struct BadBeginning: Error {
    var error: any Error
  }

  func callAsFunction(_ descriptor: Descriptor, _ kind: String) async throws {
    // containerd's clients name their ingests so: a download that one of them began is resumed.
    let ref = "\(kind)-\(descriptor.digest)"
    do {
      do { try await download(descriptor, ref) } catch is BadBeginning {
        // The bytes that an earlier attempt left are forgotten now: once more, from the first.
        do { try await download(descriptor, ref) } catch let bad as BadBeginning { throw bad.error }
      }
    } catch let error as ContainerdError where error.code == .alreadyExists {
      report(descriptor, ref, descriptor.size, .exists)
    }
    try await noteSource(descriptor.digest)
  }

  private func download(_ descriptor: Descriptor, _ ref: String) async throws {
    let expectation = IngestExpectation(size: descriptor.size, digest: descriptor.digest)
    let writer = try await openWriter(ref, expectation)
    var resumed: Int64 = 0
    do {
      resumed = try await aborted { try await writer.status().offset }
      report(descriptor, ref, resumed, .downloading)
      if resumed < descriptor.size { try await transfer(descriptor, ref, from: resumed, to: writer) }
      _ = try await aborted { try await writer.commit(expectation, labels: [:]) }
      await writer.close()
      report(descriptor, ref, descriptor.size, .done)
    } catch {
      await writer.close()
      guard let cause = error as? ContainerdError, cause.code == .failedPrecondition || (cause.code == .outOfRange && resumed > 0) else { throw error }
      // Going on from bytes that are not the blob's would fail for ever.
      do { try await content.abort(ref: ref) } catch let absent as ContainerdError where absent.code == .notFound {}
      throw resumed > 0 ? BadBeginning(error: cause) : cause
    }
  }

  private func transfer(_ descriptor: Descriptor, _ ref: String, from start: Int64, to writer: any ContentWriter) async throws {
    let stream = try await fetcher.fetch(descriptor, from: start)
    var offset = start
    do {
      while let bytes = try await stream.next() {
        try Task.checkCancellation()
        try await aborted { try await writer.write(bytes, at: offset) }
        offset += Int64(bytes.count)
        report(descriptor, ref, offset, .downloading)
      }
    } catch {
      await stream.cancel()
      throw error
    }
  }

  /// A call of a writer. It finds its ingest gone only if somebody has aborted it.
  private func aborted<Value>(_ call: () async throws -> Value) async throws -> Value {
    do { return try await call() } catch let error as ContainerdError where error.code == .notFound { throw BadBeginning(error: error) }
  }

  /// Somebody else may be fetching the same blob. Theirs is awaited as long as it gets on: it ends with the blob in the store, or with a ref to resume.
  private func openWriter(_ ref: String, _ expectation: IngestExpectation) async throws -> any ContentWriter {
    var delay = Duration.milliseconds(20)
    var still = Duration.zero
    var seen: Int64?
    while true {
      let locked: ContainerdError
      do { return try await content.writer(ref: ref, expected: expectation) } catch let error as ContainerdError where error.code == .unavailable {
        locked = error
      }
      var offset: Int64?
      do { offset = try await content.status(ref: ref).offset } catch let gone as ContainerdError where gone.code == .notFound {}
      if offset != seen { still = .zero }
      if still >= lockPatience { throw locked }
      seen = offset
      try await Task.sleep(for: delay)
      still += delay
      delay = min(delay * 2, .seconds(1))
    }
  }

  /// Where a blob came from, for pushes that mount it there: containerd's label, repositories separated by commas.
  private func noteSource(_ digest: Digest) async throws {
    let key = "containerd.io/distribution.source.\(image.host)"
    let known = try await content.info(digest).labels[key] ?? ""
    var repositories = Set(known.split(separator: ",").map(String.init))
    guard repositories.insert(image.repository).inserted else { return }
    let value = repositories.sorted().joined(separator: ",")
    // A list that has grown too long for a label is of no use to anybody: it stays as it was.
    if key.utf8.count + value.utf8.count > Labels.maximumLength { return }
    try await content.label(digest, [key: value])
  }

  private func report(_ descriptor: Descriptor, _ ref: String, _ offset: Int64, _ state: PullProgress.State) {
    progress(PullProgress(ref: ref, offset: offset, total: descriptor.size, state: state))
  }
}
