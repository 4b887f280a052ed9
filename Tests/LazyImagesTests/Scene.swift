import EmbeddedRegistry
import Foundation
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import LazyLayers
import OCI
import Protocols
import RegistryFetcher
import Synchronization
import SystemKit
import TestSupport
import Testing

/// A registry with an image of a few layers, and a content store that has its manifest and config, as a lazy pull leaves it.
struct Scene: Sendable {
  static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"

  let registry: EmbeddedRegistry
  let resolver: RegistryResolver
  let scratch: ScratchDirectory
  let content = KnownContent()
  let said = Said()
  var layers: [Descriptor] = []
  var diffIDs: [Digest] = []
  var manifest = Descriptor(mediaType: MediaType.ociManifest, digest: .of([]), size: 0)

  var repository: String { "\(registry.address)/team/app" }
  var image: String { "\(repository):1" }
  var indexes: String { "\(scratch.path)/indexes" }

  static func with(layers count: Int = 2, _ body: @Sendable (Scene) async throws -> Void) async throws {
    let scratch = ScratchDirectory("lazy-images")
    try await EmbeddedRegistry.with(.init(root: scratch.path + "/registry")) { registry in
      let resolver = RegistryResolver(configuration: .init(attempts: 2, firstPause: .milliseconds(5)))
      do {
        var scene = Scene(registry: registry, resolver: resolver, scratch: scratch)
        try await scene.publish(try (0..<count).map { try scene.archive($0) })
        try await body(scene)
      } catch {
        try await resolver.close()
        throw error
      }
      try await resolver.close()
    }
  }

  /// A layer by Debian's tar and gzip.
  func archive(_ number: Int) throws -> [UInt8] {
    let tree = "\(scratch.path)/tree-\(number)"
    try Files.makeDirectories(tree + "/etc")
    try Files.writeAtomically(Array("layer \(number)\n".utf8), to: tree + "/etc/name-\(number)")
    let line = "seq \(number) 400000 >\(tree)/numbers; tar -C \(tree) --sort=name --mtime=@1 -c . | gzip -n >\(tree).tar.gz"
    let (status, output) = try run(["/bin/sh", "-ec", line])
    if status != 0 { throw ContainerdError(.unknown, "tar ended with \(status): \(output)") }
    return try Files.read(tree + ".tar.gz")
  }

  /// Pushes the image, and leaves manifest and config where the library looks.
  /// - Parameter naming: an artifact that the manifest names; it is called with the layers, which are in the registry by then.
  mutating func publish(_ archives: [[UInt8]], naming: ((Scene) async throws -> Digest)? = nil) async throws {
    let pusher = try resolver.pusher(for: image)
    layers = []
    diffIDs = []
    for bytes in archives {
      let layer = Descriptor(mediaType: Self.gzip, digest: Digest.of(bytes), size: Int64(bytes.count))
      try await pusher.push(layer, bytes: bytes)
      layers.append(layer)
      diffIDs.append(try #require(try index(bytes).diffID))
    }
    let names = diffIDs.map { "\"\($0)\"" }.joined(separator: ",")
    let config = Array("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\(names)]}}".utf8)
    let configuration = Descriptor(mediaType: MediaType.ociConfig, digest: Digest.of(config), size: Int64(config.count))
    try await pusher.push(configuration, bytes: config)
    var notes = ""
    if let naming { notes = "\"annotations\":{\"com.amazon.soci.index-digest\":\"\(try await naming(self))\"}," }
    let document = Array(
      """
      {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)",\(notes)"config":\(Self.json(configuration)),\
      "layers":[\(layers.map { Self.json($0) }.joined(separator: ","))]}
      """.utf8)
    manifest = try await pusher.push(manifest: document, mediaType: MediaType.ociManifest, tag: "1")
    let host = registry.address.prefix { $0 != ":" }
    content.add(config, [:])
    content.add(document, ["containerd.io/distribution.source.\(host)": "team/app", "containerd.io/gc.ref.content.config": "\(configuration.digest)"])
    content.name(image)
  }

  func index(_ archive: [UInt8]) throws -> LayerIndex {
    let file = "\(scratch.path)/layer"
    try Files.writeAtomically(archive, to: file)
    return try LayerIndex.build(from: FileBytes(path: file), mediaType: Self.gzip)
  }

  static func json(_ descriptor: Descriptor, _ annotations: [String: String] = [:]) -> String {
    let notes = annotations.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
    return "{\"mediaType\":\"\(descriptor.mediaType)\",\"digest\":\"\(descriptor.digest)\",\"size\":\(descriptor.size),\"annotations\":{\(notes)}}"
  }

  // MARK: the parts under test

  func referred(patience: Duration = .seconds(60), memory: Duration = .seconds(60)) -> ReferredIndexes {
    ReferredIndexes(resolver: resolver, source: resolver, memory: memory, patience: patience) { [said] in said.append($0) }
  }

  func library(_ trust: IndexTrust = .repository, referred: ReferredIndexes? = nil, repositories: [String] = [], work: WorkPlace = .here) -> ImageLibrary {
    ImageLibrary(
      resolver: resolver, content: { [content] _ in content }, indexes: indexes, referred: referred ?? self.referred(), trust: trust,
      repositories: repositories, work: work, log: { [said] in said.append($0) })
  }

  @discardableResult
  func push(indexes: String? = nil, to repository: String? = nil) async throws -> IndexPublisher.Published {
    let place = repository ?? self.repository
    return try await IndexPublisher(resolver: resolver, indexes: indexes).publish(image, to: place, by: try resolver.pusher(for: place))
  }

  /// Whether all of a layer's bytes were sent in one answer.
  func fetched(_ layer: Descriptor) -> Bool {
    registry.log.records(endingIn: "/blobs/\(layer.digest)", method: "GET").contains { $0.bytesSent >= layer.size }
  }

  /// What is asked for the snapshot of so many layers.
  func request(_ depth: Int) -> LazyRequest {
    let chain = diffIDs[1..<depth].reduce(diffIDs[0].description) { Digest.of(Array("\($0) \($1)".utf8)).description }
    return LazyRequest(reference: chain, key: "default/1/extract-1 \(chain)", labels: [:])
  }

  /// An artifact that is made as a test wishes: descriptors of indexes with the layer that they are said to be of.
  /// - Parameter configType: of SOCI's version 2, which has no subject.
  func refer(
    _ form: IndexArtifact.Form, _ indexes: [(index: [UInt8], layer: Digest)], type: String? = nil, subject: Descriptor? = nil, configType: String? = nil
  ) async throws -> Descriptor {
    let pusher = try resolver.pusher(for: repository)
    let config = Array("{}".utf8)
    let empty = Descriptor(
      mediaType: configType ?? (form == .soci ? form.artifactType : "application/vnd.oci.empty.v1+json"), digest: Digest.of(config), size: Int64(config.count))
    try await pusher.push(empty, bytes: config)
    var parts: [String] = []
    for (bytes, layer) in indexes {
      let descriptor = Descriptor(mediaType: type ?? IndexFile.mediaType, digest: Digest.of(bytes), size: Int64(bytes.count))
      try await pusher.push(descriptor, bytes: bytes)
      parts.append(Self.json(descriptor, [form.annotation: "\(layer)"]))
    }
    let typed = form == .own ? "\"artifactType\":\"\(form.artifactType)\"," : ""
    let document = """
      {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)",\(typed)"config":\(Self.json(empty)),"layers":[\(parts.joined(separator: ","))]\
      \(configType == nil ? ",\"subject\":\(Self.json(subject ?? manifest))" : "")}
      """
    return try await pusher.push(manifest: Array(document.utf8), mediaType: MediaType.ociManifest, tag: nil)
  }
}

/// A content store that has a few documents.
final class KnownContent: ImageContent {
  private struct State {
    var bytes: [Digest: [UInt8]] = [:]
    var infos: [ContentInfo] = []
    var names: [String] = []
  }
  private let state = Mutex(State())

  func add(_ bytes: [UInt8], _ labels: Labels) {
    let now = Timestamp.now()
    state.withLock { state in
      state.bytes[Digest.of(bytes)] = bytes
      if !labels.isEmpty { state.infos.append(ContentInfo(digest: Digest.of(bytes), size: Int64(bytes.count), createdAt: now, updatedAt: now, labels: labels)) }
    }
  }
  func name(_ name: String) { state.withLock { $0.names.append(name) } }

  func list(_ filters: FilterSet) async throws -> [ContentInfo] { state.withLock { $0.infos } }
  func imageNames() async throws -> [String] { state.withLock { $0.names } }
  func reader(_ digest: Digest) async throws -> any ContentReader {
    guard let bytes = state.withLock({ $0.bytes[digest] }) else { throw ContainerdError.notFound("content \(digest)") }
    return BytesReader(bytes: bytes)
  }
}

struct BytesReader: ContentReader {
  let bytes: [UInt8]
  var size: Int64 { Int64(bytes.count) }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
  func close() async {}
}

/// What the parts said.
final class Said: Sendable {
  private let state = Mutex<[String]>([])
  func append(_ line: String) { state.withLock { $0.append(line) } }
  var lines: [String] { state.withLock { $0 } }
}

extension LazyOffer {
  /// What it would be placed as.
  func read() throws -> (index: LayerIndex, bytes: [UInt8])? {
    switch index {
    case .made(let index, let bytes): (index, bytes)
    case .ready(let index): try index.read()
    case nil: nil
    }
  }
}
