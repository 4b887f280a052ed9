import EmbeddedRegistry
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import LazyLayers
import Protocols
import SystemKit
import Testing

/// Tables of contents that layers have in themselves: an image whose layer is a fixture that another program made.
@Suite struct LayerTableTests {
  private static func fixture(_ name: String) throws -> [UInt8] {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return try Files.read(parts.joined(separator: "/") + "/Fixtures/foreign-index/" + name, limit: 1 << 30)
  }

  private static func with(_ layer: [UInt8], _ body: @Sendable (Scene) async throws -> Void) async throws {
    try await Scene.with(layers: 1) { scene throws in
      var scene = scene
      try await scene.publish([layer])
      try await body(scene)
    }
  }

  @Test(arguments: [(nil as [String]?), ["snapshotter", "work"]]) func theLayerIsOfferedByItAndNotFetched(_ work: [String]?) async throws {
    let place = try work.map { WorkPlace(command: [try #require(program)] + $0) } ?? .here
    try await Self.with(try Self.fixture("estargz")) { scene throws in
      scene.registry.log.clear()
      let (offers, reason, _) = try await ReferredIndexTests.find(scene.library(work: place), scene.request(1))
      let (index, bytes) = try #require(try offers.first?.read(), "\(reason)")
      #expect(index.blob == scene.layers[0].digest && index.diffID == scene.diffIDs[0])
      #expect(index.entries.contains { $0.text.hasSuffix("usr/lib/big") } && index.spans.count > 3)
      #expect(try IndexFile.decode(bytes) == index)
      #expect(!scene.fetched(scene.layers[0]))
      #expect(scene.said.lines.contains { $0.contains("its own eStargz table is believed until the layer is complete") })
      #expect(try Files.names(in: scene.indexes + "/read").allSatisfy { !$0.hasSuffix(".table") })
    }
  }

  @Test func oneThatIsBrokenIsTold() async throws {
    var layer = try Self.fixture("estargz")
    // Where the footer, which is a member of gzip by itself, says that the table is.
    layer.replaceSubrange((layer.count - 35)..<(layer.count - 19), with: Array("0000000000000001".utf8))
    try await Self.with(layer) { scene throws in
      let (offers, reason, obstacle) = try await ReferredIndexTests.find(scene.library(), scene.request(1))
      #expect(offers.isEmpty && obstacle == .noIndex)
      #expect(reason.contains("the layer's own table cannot be used: blob \(scene.layers[0].digest): "), "\(reason)")
    }
  }
}
