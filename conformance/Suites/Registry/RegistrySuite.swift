import Protocols

/// A registry's client, and what the registry holds.
public struct RegistrySubject: Sendable {
  public var resolver: any Resolver
  /// A name by tag, and what it stands for.
  public var reference: String
  public var target: Descriptor
  public var manifest: [UInt8]
  /// A blob of the same repository, of at least 100 000 bytes.
  public var blob: Descriptor
  public var blobBytes: [UInt8]
  /// A well-formed name that the registry does not know.
  public var absent: String
  /// What is no name at all.
  public var malformed: String
  public var keep: (any Sendable)?

  public init(
    resolver: any Resolver, reference: String, target: Descriptor, manifest: [UInt8], blob: Descriptor, blobBytes: [UInt8], absent: String,
    malformed: String = "not a name", keep: (any Sendable)? = nil
  ) {
    self.resolver = resolver
    self.reference = reference
    self.target = target
    self.manifest = manifest
    self.blob = blob
    self.blobBytes = blobBytes
    self.absent = absent
    self.malformed = malformed
    self.keep = keep
  }

  func read(_ descriptor: Descriptor, from offset: Int64 = 0) async throws -> [UInt8] {
    let stream = try await resolver.fetcher(for: reference).fetch(descriptor, from: offset)
    var bytes: [UInt8] = []
    while let chunk = try await stream.next() {
      try expect(!chunk.isEmpty, "an empty chunk")
      bytes += chunk
    }
    await stream.cancel()
    return bytes
  }
}

/// The contracts of `Resolver` and `Fetcher`.
public enum RegistrySuite {
  public static let cases: [ContractCase<RegistrySubject>] = [
    ContractCase("registry.resolve.tag", "a tag resolves to its manifest's descriptor", "Resolver.resolve; DS-08, DS-09") { subject in
      let image = try await subject.resolver.resolve(subject.reference)
      try expectEqual(image.target.digest, subject.target.digest, "digest")
      try expectEqual(image.target.mediaType, subject.target.mediaType, "media type")
      try expectEqual(image.target.size, subject.target.size, "size")
    },
    ContractCase("registry.resolve.digest", "a name with a digest resolves to that manifest", "Resolver.resolve; DS-11, REF-F04") { subject in
      let name = subject.reference.split(separator: ":").dropLast().joined(separator: ":")
      let image = try await subject.resolver.resolve("\(name)@\(subject.target.digest)")
      try expectEqual(image.target.digest, subject.target.digest, "digest")
    },
    ContractCase("registry.resolve.absent", "a name that the registry does not know is not found", "Resolver.resolve; DS-12") { subject in
      try await expectError(.notFound, from: "resolving \(subject.absent)") { _ = try await subject.resolver.resolve(subject.absent) }
    },
    ContractCase("registry.resolve.malformed", "what is no name is refused", "Resolver.resolve; DS-01") { subject in
      try await expectError(.invalidArgument, from: "resolving \"\(subject.malformed)\"") { _ = try await subject.resolver.resolve(subject.malformed) }
      try await expectError(.invalidArgument, from: "a fetcher for \"\(subject.malformed)\"") { _ = try subject.resolver.fetcher(for: subject.malformed) }
    },
    ContractCase("registry.fetch.manifest", "a manifest is fetched like any blob", "Fetcher.fetch; DS-08, REF-F01") { subject in
      try expect(try await subject.read(subject.target) == subject.manifest, "other bytes than the manifest's")
    },
    ContractCase("registry.fetch.whole", "a blob is delivered whole, in chunks that are never empty", "Fetcher.fetch; DS-13") { subject in
      let read = try await subject.read(subject.blob)
      try expect(read == subject.blobBytes, "\(read.count) bytes, or other ones than the blob's \(subject.blobBytes.count)")
    },
    ContractCase("registry.fetch.resume", "a fetch may begin anywhere in the blob", "Fetcher.fetch; DS-17, REF-F01") { subject in
      for offset in [1, 1000, subject.blobBytes.count / 2, subject.blobBytes.count - 1] {
        let read = try await subject.read(subject.blob, from: Int64(offset))
        try expect(read == Array(subject.blobBytes.dropFirst(offset)), "from \(offset): \(read.count) bytes, or other ones")
      }
    },
    ContractCase("registry.fetch.beyond", "a fetch cannot begin beyond the end", "Fetcher.fetch; REF-F02") { subject in
      try await expectError(.outOfRange, from: "a fetch beyond the end") { _ = try await subject.read(subject.blob, from: subject.blob.size + 1) }
    },
    ContractCase("registry.fetch.absent", "a blob that the registry does not have is not found", "Fetcher.fetch; DS-16") { subject in
      let digest = try Digest(parsing: "sha256:" + String(repeating: "0", count: 64))
      try await expectError(.notFound, from: "a fetch of an absent blob") {
        _ = try await subject.read(Descriptor(mediaType: subject.blob.mediaType, digest: digest, size: 10))
      }
    },
    ContractCase("registry.fetch.cancel", "a stream may be given up at any time, and the next fetch is whole", "ByteStream.cancel; REF-F01, REF-F03") {
      subject in
      let stream = try await subject.resolver.fetcher(for: subject.reference).fetch(subject.blob, from: 0)
      _ = try await stream.next()
      await stream.cancel()
      await stream.cancel()
      try expect(try await subject.read(subject.blob) == subject.blobBytes, "the next fetch gave other bytes")
    },
    ContractCase("registry.fetch.at-once", "blobs can be fetched at the same time", "Fetcher, concurrency; DS-17, REF-F01") { subject in
      let results = try await concurrently(6) { number in
        try await subject.read(subject.blob, from: Int64(number * 10)) == Array(subject.blobBytes.dropFirst(number * 10))
      }
      for result in results { try expect(try result.get(), "a parallel fetch gave other bytes") }
    },
  ]
}
