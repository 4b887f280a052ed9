import EmbeddedRegistry
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import Protocols
import SystemKit
import Testing

/// Lists of what was needed first, published with the indexes and found with them.
@Suite struct PublishedAccessTests {
  private static func list(_ scene: Scene, _ number: Int, _ spans: [Int]) throws -> [UInt8] {
    AccessList(spans).encode(for: AccessList.Table(try scene.index(try scene.archive(number))))
  }

  @Test func theyGoWithTheIndexesAndAreFoundByAMachineThatHasNone() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let shelf = IndexShelf(root: scene.indexes)
      let list = try Self.list(scene, 1, [2, 0])
      // Nothing is kept of a layer that has no index here.
      try scene.library().remember(list, of: scene.layers[1].digest)
      #expect(try shelf.readAccesses(scene.layers[1].digest) == nil)
      try shelf.write(try IndexFile.encode(try scene.index(try scene.archive(1))), for: scene.layers[1].digest)
      try scene.library().remember(list, of: scene.layers[1].digest)
      let published = try await scene.push(indexes: scene.indexes)
      #expect(published.layers.map(\.recorded) == [nil, 2])
      #expect(try await scene.push(indexes: scene.indexes).pushed == 0)
      // Another machine.
      try Files.removeTree(scene.indexes)
      let (offers, reason, _) = try await ReferredIndexTests.find(scene.library(), scene.request(2))
      #expect(offers.map(\.accesses) == [nil, list], "\(reason)")
      let listing = try await IndexPublisher(resolver: scene.resolver).listing(scene.image, by: scene.referred()).1
      let descriptor = Descriptor(mediaType: AccessList.mediaType, digest: .of(list), size: Int64(list.count))
      #expect(listing.artifacts.first?.accesses == [scene.layers[1].digest: descriptor])
      #expect(listing.artifacts.first?.indexes.count == 2)
    }
  }

  @Test func whatWasNeededHereIsKnownTheNextTime() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let shelf = IndexShelf(root: scene.indexes)
      try shelf.write(try IndexFile.encode(try scene.index(try scene.archive(0))), for: scene.layers[0].digest)
      let library = scene.library()
      #expect(try await ReferredIndexTests.find(library, scene.request(1)).offers.first?.accesses == nil)
      let list = try Self.list(scene, 0, [1])
      try library.remember(list, of: scene.layers[0].digest)
      #expect(try await ReferredIndexTests.find(library, scene.request(1)).offers.first?.accesses == list)
      // An index that is wrong takes it along.
      try shelf.distrust(scene.layers[0].digest)
      #expect(try shelf.readAccesses(scene.layers[0].digest) == nil)
    }
  }

  @Test func oneThatDoesNotFitIsNotPublished() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let shelf = IndexShelf(root: scene.indexes)
      try shelf.write(try IndexFile.encode(try scene.index(try scene.archive(0))), for: scene.layers[0].digest)
      for bytes in [try Self.list(scene, 1, [0]), Array("nonsense".utf8)] {
        try shelf.writeAccesses(bytes, for: scene.layers[0].digest)
        let published = try await scene.push(indexes: scene.indexes)
        #expect(published.layers.map(\.recorded) == [nil])
      }
    }
  }

  @Test func oneThatCannotBeFetchedCostsNothing() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let shelf = IndexShelf(root: scene.indexes)
      try shelf.write(try IndexFile.encode(try scene.index(try scene.archive(0))), for: scene.layers[0].digest)
      let list = try Self.list(scene, 0, [0, 1])
      try shelf.writeAccesses(list, for: scene.layers[0].digest)
      try await scene.push(indexes: scene.indexes)
      try Files.removeTree(scene.indexes)
      scene.registry.faults.add(.corruptBlob(at: 60), to: .path("\(Digest.of(list))"), method: "GET")
      let (offers, reason, _) = try await ReferredIndexTests.find(scene.library(), scene.request(1))
      #expect(offers.count == 1 && offers[0].index != nil && offers[0].accesses == nil, "\(reason)")
      #expect(scene.said.lines.contains { $0.contains("\(Digest.of(list))") && $0.contains("its bytes are others") }, "\(scene.said.lines)")
    }
  }
}
