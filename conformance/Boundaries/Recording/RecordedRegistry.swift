import Protocols

/// Any registry client, with all that is asked of it on a tape.
struct RecordedRegistry: Resolver {
  let base: any Resolver
  let tape: Tape

  func resolve(_ reference: String) async throws -> ResolvedImage {
    try await tape.perform(.registry, "resolve", [reference]) { try await base.resolve(reference) }
  }
  func fetcher(for reference: String) throws -> any Fetcher {
    try tape.performNow(.registry, "fetcher", [reference]) { RecordedFetcher(base: try base.fetcher(for: reference), tape: tape) }
  }
}

private struct RecordedFetcher: Fetcher {
  let base: any Fetcher
  let tape: Tape

  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream {
    let told = [descriptor.digest.description, "\(offset)", "\(descriptor.size)", descriptor.mediaType] + descriptor.annotations.words
    return try await tape.perform(.registry, "fetch", told) {
      let stream = try await base.fetch(descriptor, from: offset)
      return RecordedStream(base: stream, tape: tape, id: tape.opened("the stream of \(descriptor.digest)"), digest: descriptor.digest)
    }
  }
}

private struct RecordedStream: ByteStream {
  let base: any ByteStream
  let tape: Tape
  let id: Int
  let digest: Digest

  func next() async throws -> [UInt8]? {
    let bytes = try await tape.perform(.registry, "next", [digest.description]) { try await base.next() }
    if bytes == nil { tape.closed(id) }
    return bytes
  }
  func cancel() async {
    await base.cancel()
    tape.closed(id)
  }
}
