import FuseSnapshotter
import Hashing
import LayerIndex
import LazyLayers
import Protocols

/// What a lazy snapshotter asks about images, answered by the registry: it has the indexes beside the layers. Nothing is known without it.
struct RegistryImages: LazyImages {
  let site: LazyRegistrySite
  let resolver: any Resolver

  func find(_ request: LazyRequest) async throws -> LazyAnswer {
    guard let place = site.layers.firstIndex(where: { $0.name == request.reference }) else { return .declined("the registry has no such layer", .unknownImage) }
    let fetcher = try resolver.fetcher(for: site.reference)
    var offers: [LazyOffer] = []
    for layer in site.layers[...place] {
      let bytes = try await fetcher.read(layer.index, 0..<layer.index.size)
      if Digest.of(bytes) != layer.index.digest { throw ContainerdError(.dataLoss, "the index of \(layer.blob.digest) is another") }
      offers.append(LazyOffer(blob: layer.blob, diffID: layer.diffID, index: try IndexFile.decode(bytes), bytes: bytes))
    }
    return .layers(image: site.reference, offers)
  }

  func source(of layer: Descriptor, image: String) throws -> any LayerSource { FetchedBlob(layer, from: try resolver.fetcher(for: image)) }
  func unpacked(_ request: LazyRequest) async {}
  func remember(_ accesses: [UInt8], of layer: Digest) throws {}
  func distrust(_ layer: Digest) async {}
}

/// No image can be lazy.
struct NoImages: LazyImages {
  func find(_ request: LazyRequest) async throws -> LazyAnswer { .declined("there is no image", .unknownImage) }
  func source(of layer: Descriptor, image: String) throws -> any LayerSource { throw ContainerdError.notFound("layer \(layer.digest)") }
  func unpacked(_ request: LazyRequest) async {}
  func remember(_ accesses: [UInt8], of layer: Digest) throws {}
  func distrust(_ layer: Digest) async {}
}
