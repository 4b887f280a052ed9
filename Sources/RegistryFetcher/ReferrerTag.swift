import FoundationEssentials
import OCI
import Protocols

/// The tag that lists a subject's referrers where the registry does not (distribution-spec, "Referrers Tag Schema"): an index like any other.
struct ReferrerTag {
  private static let attempts = 5

  let session: RegistrySession
  let image: ImageReference

  /// `sha256-…`, of at most 32 characters before the dash and 64 behind it.
  static func name(_ subject: Digest) -> String { "\(subject.algorithm.rawValue.prefix(32))-\(subject.hex.prefix(64))" }

  /// Nil if there is no such tag.
  func entries(_ subject: Digest) async throws -> [Descriptor]? {
    guard let bytes = try await read(subject, .pull) else { return nil }
    return try ImageIndex(parsing: bytes).manifests
  }

  /// Adds an entry and looks whether it is there: another writer may have put an index without it in our index's place.
  func add(_ descriptor: Descriptor, to subject: Digest, _ put: (_ index: [UInt8], _ tag: String) async throws -> Void) async throws {
    let tag = Self.name(subject)
    let turn = "\(image.registry)/\(image.repository):\(tag)"
    await session.turns.take(turn)
    do { try await noting(descriptor, subject, tag, put) } catch {
      await session.turns.give(turn)
      throw error
    }
    await session.turns.give(turn)
  }

  private func noting(_ descriptor: Descriptor, _ subject: Digest, _ tag: String, _ put: (_ index: [UInt8], _ tag: String) async throws -> Void) async throws {
    for attempt in 0... {
      var index = try await read(subject, .push).map { try ReferrerIndex(parsing: $0, "\(image.repository):\(tag)") } ?? ReferrerIndex()
      if index.manifests.contains(where: { $0.digest == descriptor.digest.description }) { return }
      if attempt == Self.attempts { break }
      index.manifests.append(ReferrerIndex.Entry(descriptor))
      try await put(index.bytes(), tag)
    }
    throw ContainerdError(.aborted, "\(image.registry)/\(image.repository):\(tag): other writers undo what is written there")
  }

  private func read(_ subject: Digest, _ capability: RegistryHost.Capability) async throws -> [UInt8]? {
    let tag = Self.name(subject)
    let object = "\(image.registry)/\(image.repository):\(tag)"
    let call = RegistrySession.Call(
      image: image, path: "manifests/\(tag)", accept: [MediaType.ociIndex], capability: capability == .pull ? .resolve : capability, object: object)
    do {
      return try await session.open(call) { try await RegistrySession.collect($0, upTo: ImageDocument.maximumSize, object) }.value
    } catch let error as ContainerdError where error.code == .notFound { return nil }
  }
}

/// The index behind such a tag, written back with all that the specification knows of its entries.
private struct ReferrerIndex: Codable {
  struct Entry: Codable {
    struct Platform: Codable {
      var architecture: String
      var os: String
      var osVersion: String?
      var osFeatures: [String]?
      var variant: String?
      enum CodingKeys: String, CodingKey {
        case architecture, os, variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
      }
    }

    var mediaType: String
    var digest: String
    var size: Int64
    var urls: [String]?
    var annotations: [String: String]?
    var data: String?
    var platform: Platform?
    var artifactType: String?

    init(_ descriptor: Descriptor) {
      mediaType = descriptor.mediaType
      digest = descriptor.digest.description
      size = descriptor.size
      annotations = descriptor.annotations.isEmpty ? nil : descriptor.annotations
      artifactType = descriptor.artifactType
    }
  }

  var schemaVersion = 2
  var mediaType: String? = MediaType.ociIndex
  var manifests: [Entry] = []
  var annotations: [String: String]?

  init() {}

  init(parsing bytes: [UInt8], _ object: String) throws {
    // What is an index to a puller, no more and no less.
    do {
      _ = try ImageIndex(parsing: bytes)
      self = try JSONDecoder().decode(Self.self, from: Data(bytes))
    } catch { throw ContainerdError.failedPrecondition("\(object) is no index of referrers: \((error as? ContainerdError)?.message ?? "malformed")") }
    mediaType = MediaType.ociIndex
  }

  func bytes() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self))
  }
}

/// What of a manifest matters to those who look for referrers.
struct PushedManifest: Sendable {
  var subject: Digest?
  private var artifactType: String?
  private var annotations: [String: String]

  init(_ bytes: [UInt8], mediaType: String) throws {
    struct Wire: Decodable {
      struct Reference: Decodable {
        var digest: String?
        var mediaType: String?
      }
      var subject: Reference?
      var config: Reference?
      var artifactType: String?
      var annotations: [String: String]?
    }
    guard MediaType.isManifest(mediaType) || MediaType.isIndex(mediaType) else {
      throw ContainerdError.invalidArgument("media type \"\(mediaType)\" is neither a manifest's nor an index's")
    }
    let wire: Wire
    do { wire = try JSONDecoder().decode(Wire.self, from: Data(bytes)) } catch { throw ContainerdError.invalidArgument("the manifest is malformed: \(error)") }
    subject = try wire.subject.map { try Digest(parsing: $0.digest ?? "") }
    artifactType = [wire.artifactType, MediaType.isManifest(mediaType) ? wire.config?.mediaType : nil].compactMap { $0 }.first { !$0.isEmpty }
    annotations = wire.annotations ?? [:]
  }

  func descriptor(_ digest: Digest, size: Int64, mediaType: String) -> Descriptor {
    // An image is what its manifest says; only what refers to something is looked for by its type.
    if subject == nil { return Descriptor(mediaType: mediaType, digest: digest, size: size) }
    return Descriptor(mediaType: mediaType, digest: digest, size: size, annotations: annotations, artifactType: artifactType)
  }
}
