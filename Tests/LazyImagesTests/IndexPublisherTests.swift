import EmbeddedRegistry
import Foundation
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import OCI
import Protocols
import RegistryFetcher
import Synchronization
import Testing

@Suite struct IndexPublisherTests {
  @Test func theArtifactHasTheFormThatIsDocumented() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let published = try await scene.push()
      #expect(published.subject == "\(scene.manifest.digest)" && published.skipped.isEmpty)
      #expect(published.layers.map(\.layer) == scene.layers.map { "\($0.digest)" } && published.layers.allSatisfy(\.isBuilt))
      let referrers = try await scene.resolver.referrers(for: scene.repository).referrers(of: scene.manifest.digest, artifactType: nil)
      let artifact = try #require(referrers.first)
      #expect(referrers.count == 1 && "\(artifact.digest)" == published.artifact && artifact.artifactType == "application/vnd.containerd-ref.layer-indexes.v1")
      let bytes = try await scene.resolver.fetcher(for: scene.repository).read(artifact, 0..<artifact.size)
      let document = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
      #expect(document["mediaType"] as? String == MediaType.ociManifest && document["schemaVersion"] as? Int == 2)
      #expect((document["subject"] as? [String: Any])?["digest"] as? String == "\(scene.manifest.digest)")
      #expect((document["config"] as? [String: Any])?["digest"] as? String == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
      let layers = try #require(document["layers"] as? [[String: Any]])
      #expect(layers.map { $0["mediaType"] as? String } == [IndexFile.mediaType, IndexFile.mediaType])
      for (layer, row) in zip(layers, published.layers) {
        #expect((layer["annotations"] as? [String: String]) == ["containerd-ref.layer-index.layer": row.layer])
        #expect(layer["digest"] as? String == row.index && (layer["size"] as? Int).map(Int64.init) == row.indexSize)
      }
    }
  }

  @Test func twiceIsOnce() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let first = try await scene.push()
      let second = try await scene.push()
      #expect(first.pushed == first.layers.reduce(2) { $0 + $1.indexSize } && second.pushed == 0)
      #expect(first.artifact == second.artifact)
      #expect(try await scene.resolver.referrers(for: scene.repository).referrers(of: scene.manifest.digest, artifactType: nil).count == 1)
    }
  }

  @Test func whatIsOnTheShelfIsNotBuilt() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let own = try IndexFile.encode(try scene.index(try scene.archive(1)))
      try IndexShelf(root: scene.indexes).write(own, for: scene.layers[1].digest)
      scene.registry.log.clear()
      let published = try await scene.push(indexes: scene.indexes)
      #expect(published.layers.map(\.isBuilt) == [true, false])
      #expect(published.layers[1].index == "\(Digest.of(own))")
      #expect(scene.registry.log.records(endingIn: "\(scene.layers[1].digest)", method: "GET").isEmpty)
      #expect(!scene.registry.log.records(endingIn: "\(scene.layers[0].digest)", method: "GET").isEmpty)
    }
  }

  @Test func progressIsTold() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let steps = Mutex<[IndexPublisher.Step]>([])
      let published = try await IndexPublisher(resolver: scene.resolver).publish(
        scene.image, to: scene.repository, by: try scene.resolver.pusher(for: scene.repository)
      ) { step in steps.withLock { $0.append(step) } }
      let layer = scene.layers[0]
      let told = steps.withLock { $0 }
      #expect(told.first == .reading(layer.digest, 0, of: layer.size))
      #expect(told.contains(.reading(layer.digest, layer.size, of: layer.size)))
      #expect(told.last == .has(published.layers[0]))
    }
  }

  @Test func aLayerThatIsAnotherIsRefused() async throws {
    try await Scene.with(layers: 1) { scene throws in
      scene.registry.faults.add(.corruptBlob(at: 100_000), to: .path("\(scene.layers[0].digest)"), method: "GET")
      let error = await #expect(throws: ContainerdError.self) { try await scene.push() }
      #expect(error?.message.contains("\(scene.layers[0].digest)") == true, "\(error.debugDescription)")
      #expect(try await scene.resolver.referrers(for: scene.repository).referrers(of: scene.manifest.digest, artifactType: nil).isEmpty)
    }
  }

  @Test func withoutALayerThatHelpsNothingIsPushed() async throws {
    try await Scene.with(layers: 0) { scene throws in
      let error = await #expect(throws: ContainerdError.self) { try await scene.push() }
      #expect(error?.code == .failedPrecondition && error?.message.contains("nothing to push") == true, "\(error.debugDescription)")
    }
  }
}
