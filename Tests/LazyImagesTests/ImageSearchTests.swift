import Hashing
import OCI
import Protocols
import Synchronization
import Testing

@testable import LazyImages

/// How an image is found among others, and what is asked of the daemon for it.
@Suite struct ImageSearchTests {
  /// A content store that counts what is asked of it.
  private final class Content: ImageContent {
    struct State {
      var bytes: [Digest: [UInt8]] = [:]
      var infos: [ContentInfo] = []
      var names: [String] = []
      var reads: [Digest] = []
      var lists = 0
    }
    let state = Mutex(State())

    var reads: Int { state.withLock { $0.reads.count } }
    var lists: Int { state.withLock { $0.lists } }
    func forgetReads() {
      state.withLock {
        $0.reads = []
        $0.lists = 0
      }
    }

    func list(_ filters: FilterSet) async throws -> [ContentInfo] { state.withLock { $0.infos } }
    func imageNames() async throws -> [String] {
      state.withLock {
        $0.lists += 1
        return $0.names
      }
    }
    func reader(_ digest: Digest) async throws -> any ContentReader {
      let bytes = state.withLock {
        $0.reads.append(digest)
        return $0.bytes[digest]
      }
      guard let bytes else { throw ContainerdError.notFound("content \(digest)") }
      return BytesReader(bytes: bytes)
    }

    /// An image of layers with these names; the first may be many images' own.
    /// - Returns: the names of the snapshots, and the config with its bytes.
    @discardableResult
    func add(_ layers: [String], to repository: String = "team/app", created: Int64 = 1, config isThere: Bool = true) -> (chains: [String], config: [UInt8]) {
      let diffIDs = layers.map { Digest.of(Array("content of \($0)".utf8)) }
      let list = diffIDs.map { "\"\($0)\"" }.joined(separator: ",")
      let config = Array("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\(list)]}}".utf8)
      func descriptor(_ type: String, _ bytes: [UInt8]) -> String { "{\"mediaType\":\"\(type)\",\"digest\":\"\(Digest.of(bytes))\",\"size\":\(bytes.count)}" }
      let parts = layers.map { descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Array($0.utf8)) }.joined(separator: ",")
      let type = MediaType.ociManifest
      let document = "{\"schemaVersion\":2,\"mediaType\":\"\(type)\",\"config\":\(descriptor(MediaType.ociConfig, config)),\"layers\":[\(parts)]}"
      add(document, to: repository, created: created)
      if isThere { state.withLock { $0.bytes[Digest.of(config)] = config } }
      return (KnownImage.chains(diffIDs), config)
    }

    func add(_ document: String, to repository: String, created: Int64 = 1) {
      let manifest = Array(document.utf8)
      let time = Timestamp(seconds: created, nanoseconds: 0)
      let info = ContentInfo(
        digest: Digest.of(manifest), size: Int64(manifest.count), createdAt: time, updatedAt: time,
        labels: ["containerd.io/distribution.source.registry.test": repository, "containerd.io/gc.ref.content.config": "sha256"])
      state.withLock {
        $0.bytes[info.digest] = manifest
        $0.infos.append(info)
      }
    }
  }

  private static func find(
    _ chain: String, in content: Content, _ memory: ImageSearchMemory, namespace: String = "default", labels: Labels = [:]
  ) async throws -> [KnownImage] {
    try await ImageSearch(content: content, namespace: namespace, memory: memory, labels: labels).images(with: chain)
  }

  @Test func theListOfImagesIsAskedForOnceAndNoManifestIsReadTwice() async throws {
    let (content, memory) = (Content(), ImageSearchMemory())
    let chains = content.add(["base", "top"], created: 5).chains
    for number in 0..<20 { content.add(["base", "other \(number)"], created: 4) }
    content.state.withLock { $0.names = ["elsewhere.test/team/app:1", "no name at all", "registry.test:5000/team/app:1"] }
    let first = try await Self.find(chains[0], in: content, memory)
    #expect(first.count == 21 && content.lists == 1 && content.reads == 42)
    #expect(first.allSatisfy { $0.repository == "registry.test:5000/team/app" })
    content.forgetReads()
    let second = try await Self.find(chains[1], in: content, memory)
    #expect(second == [first[0]] && content.lists == 1 && content.reads == 0)
    #expect(second[0].depth(of: chains[1]) == 2 && second[0].depth(of: chains[0]) == 1 && second[0].depth(of: "sha256:0") == nil)
  }

  @Test func theListIsNotAskedForWhereTheRequestNamesTheImageOrNothingIsFound() async throws {
    let (content, memory) = (Content(), ImageSearchMemory())
    let chains = content.add(["base"]).chains
    let found = try await Self.find(chains[0], in: content, memory, labels: ["containerd.io/snapshot/cri.image-ref": "registry.test:443/team/app:2"])
    #expect(found.map(\.repository) == ["registry.test:443/team/app"])
    #expect(try await Self.find("sha256:0", in: content, memory).isEmpty)
    #expect(content.lists == 0)
    // A name of something else says nothing.
    let other = try await Self.find(chains[0], in: content, memory, labels: ["containerd.io/snapshot/cri.image-ref": "registry.test:443/team/other:2"])
    #expect(other.map(\.repository) == ["registry.test/team/app"] && content.lists == 1)
  }

  @Test func theNewestManifestIsFirst() async throws {
    let (content, memory) = (Content(), ImageSearchMemory())
    for (number, created) in [3, 9, 5].enumerated() { content.add(["base", "\(number)"], to: "team/app-\(created)", created: Int64(created)) }
    let chain = content.add(["base"], to: "team/app-7", created: 7).chains[0]
    for _ in 0..<2 {
      let found = try await Self.find(chain, in: content, memory)
      #expect(found.map(\.repository) == [9, 7, 5, 3].map { "registry.test/team/app-\($0)" })
    }
  }

  @Test func whatOneNamespaceHasAnotherIsNotTold() async throws {
    let (content, other, memory) = (Content(), Content(), ImageSearchMemory())
    let (chains, config) = content.add(["base"])
    // The manifest is there, its config is not.
    other.add(["base"], config: false)
    #expect(try await Self.find(chains[0], in: content, memory).count == 1)
    #expect(try await Self.find(chains[0], in: other, memory, namespace: "other").isEmpty)
    #expect(try await Self.find(chains[0], in: Content(), memory, namespace: "empty").isEmpty)
    // A config that was not there may come.
    other.state.withLock { $0.bytes[Digest.of(config)] = config }
    #expect(try await Self.find(chains[0], in: other, memory, namespace: "other").count == 1)
  }

  @Test func whatIsNoImageIsReadOnceAndWhatIsDamagedIsTold() async throws {
    let (content, memory) = (Content(), ImageSearchMemory())
    let (chains, config) = content.add(["base"])
    content.add("{\"schemaVersion\":2}", to: "team/nothing")
    for _ in 0..<2 { #expect(try await Self.find(chains[0], in: content, memory).count == 1) }
    #expect(content.reads == 3)
    let damaged = content.add(["damaged"], config: false).config
    content.state.withLock { $0.bytes[Digest.of(damaged)] = config }
    for _ in 0..<2 {
      await #expect(throws: ContainerdError.self) { try await Self.find(chains[0], in: content, memory) }
    }
  }

  @Test func theMemoryHasABound() async throws {
    let (content, memory) = (Content(), ImageSearchMemory(most: 12_000))
    let chain = content.add(["base"]).chains[0]
    for number in 0..<50 { content.add(["base", "other \(number)"]) }
    for _ in 0..<3 { #expect(try await Self.find(chain, in: content, memory).count == 51) }
    let known = content.state.withLock { state in state.infos.filter { memory.recall($0.digest, "default") != nil }.count }
    // Each takes a kibibyte and its own bytes.
    #expect(known > 4 && known < 12, "\(known)")
    let none = ImageSearchMemory(most: 0)
    #expect(try await Self.find(chain, in: content, none).count == 51)
  }
}
