import ConformanceKit
import ConformanceSuites
import Hashing
import InMemoryFakes
import Protocols
import TestSupport

extension Target {
  /// `inproc:fake`: every contract, on the in-memory fakes.
  static func fake(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.truncation, .openReaders, .sha512, .closing, .handedContent, .alone])
    target[ContentSubject.self] = { _ in ContentSubject(store: InMemoryContentStore()) { Digest.of($0, $1) } }
    target[SnapshotSubject.self] = { _ in SnapshotSubject(snapshotter: InMemorySnapshotter()) }
    target[LayerSubject.self] = { _ in
      LayerSubject(
        applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), content: InMemoryContentStore(), snapshotter: InMemorySnapshotter()
      ) { Digest.of($0) }
    }
    target[RegistrySubject.self] = { _ in
      let registry = InMemoryRegistry(chunk: 10_000)
      let blob = [UInt8](repeating: 7, count: 100_000) + Array(0..<200)
      let manifest = Array("{}".utf8)
      let mediaType = "application/vnd.oci.image.manifest.v1+json"
      let name = "registry.test/some/image:1"
      return RegistrySubject(
        resolver: registry, reference: name, target: registry.add(manifest: manifest, mediaType: mediaType, as: name), manifest: manifest,
        blob: registry.add(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar"), blobBytes: blob, absent: "registry.test/some/image:2")
    }
    target[RuntimeSubject.self] = { _ in
      let events = InMemoryEventExchange()
      let runtime = InMemoryRuntime(events: events)
      return RuntimeSubject(runtime: runtime, published: { events.published }) { id, program in
        if case .exits(let code) = program { runtime.scriptExit(code, of: id) }
        return TaskCreation(namespace: "default", id: id, spec: TypedValue(typeURL: "spec", value: [1]), rootfs: [])
      } exec: { container, id, program in
        if case .exits(let code) = program { runtime.scriptExit(code, of: container, exec: id) }
        return ExecCreation(id: id, process: TypedValue(typeURL: "process", value: [1]), io: TaskIO())
      }
    }
    target[EventSubject.self] = { _ in EventSubject(exchange: InMemoryEventExchange()) }
    target[CollectionSubject.self] = { _ in
      try CollectionSubject(
        InMemoryMetadataStore(
          content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: InMemoryEventExchange(),
          now: TestClock(follows: true).now),
        namespace: "n")
    }
    target[MetadataSubject.self] = { _ in
      let clock = TestClock()
      let events = InMemoryEventExchange()
      let store = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events, now: clock.now)
      return MetadataSubject(store: store, snapshotter: "overlayfs", published: { events.published }, now: clock.now) {
        clock.advance($0)
      } digest: {
        Digest.of($0)
      }
    }
    return target
  }
}
