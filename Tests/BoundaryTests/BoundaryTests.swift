import Hashing
import ImagePull
import ImageUnpack
import InMemoryFakes
import Protocols
import TestSupport
import Testing

/// The laws of docs/architecture.md on the recorded trace of a pull, an unpacking and a run; with fakes, and with what is real behind the same
/// protocols.
@Suite struct BoundaryTests {
  private func components(_ calls: [CallTrace.Call]) -> Set<String> { Set(calls.map(\.component)) }

  /// Said once, where everybody sees it: without root the real trees are left out.
  @Test(.enabled(if: Needs.root, "the combinations with a real snapshotter and applier need root: run the tests as root")) func theRealTreesTakePart() {
    #expect(Scene.Backends.allowed == Scene.Backends.allCases)
  }

  @Test(arguments: Scene.Backends.allowed) func aPullTalksToTheRegistryAndTheContentStoreAlone(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let (image, calls) = try await scene.calls { try await scene.pull() }
    #expect(image.layers == scene.layers)
    #expect(components(calls) == ["registry", "content"])
    // Each blob: opened, fetched, committed, in this order.
    for descriptor in [scene.manifest, scene.config] + scene.layers {
      let digest = descriptor.digest.description
      let steps = [
        calls.firstIndex { $0.name == "content.writer" && $0.arguments.contains(digest) },
        calls.firstIndex { $0.name == "registry.fetch" && $0.arguments[0] == digest },
        calls.firstIndex { $0.name == "content.commit" && $0.arguments.contains(digest) },
      ].compactMap { $0 }
      #expect(steps.count == 3 && steps == steps.sorted(), "steps of \(digest): \(steps)")
      #expect(calls.count { $0.name == "registry.fetch" && $0.arguments[0] == digest } == 1, "fetched once")
    }
    // The manifest holds its children before the first of them arrives.
    let references = calls.firstIndex {
      $0.name == "content.update" && $0.arguments[0] == "\(scene.manifest.digest)" && $0.arguments[1].contains("gc.ref.content")
    }
    let firstChild = calls.firstIndex { $0.name == "registry.fetch" && $0.arguments[0] != "\(scene.manifest.digest)" }
    #expect(try #require(references) < #require(firstChild))
  }

  /// The registry's side learns names, digests and offsets; nothing of keys, paths or mounts.
  @Test(arguments: Scene.Backends.allowed) func theRegistryLearnsNothingOfStorage(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let (_, calls) = try await scene.calls { try await scene.unpack(scene.pull()) }
    let known = Set([Scene.name] + ([scene.manifest, scene.config] + scene.layers).map(\.digest.description))
    for call in calls where call.component == "registry" {
      for argument in call.arguments { #expect(known.contains(argument) || Int64(argument) != nil, "\(call)") }
    }
  }

  @Test(arguments: Scene.Backends.allowed) func anUnpackingReadsContentAndNeverTalksToTheRegistry(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let image = try await scene.pull()
    let (top, calls) = try await scene.calls { try await scene.unpack(image) }
    #expect(try await scene.snapshotter.stat(top).kind == .committed)
    #expect(components(calls) == ["content", "snapshots", "applier"])
    #expect(Set(calls.filter { $0.component == "content" }.map(\.operation)) == ["reader", "read", "update"], "content is read, and labelled")
    // Layer by layer: looked for, prepared, applied, committed.
    let steps = calls.filter { $0.component != "content" }.map(\.name)
    let layer = ["snapshots.stat", "snapshots.prepare", "applier.apply", "snapshots.commit"]
    #expect(steps == Array(repeating: layer, count: scene.layers.count).flatMap { $0 })
    #expect(calls.filter { $0.name == "applier.apply" }.map { $0.arguments[0] } == scene.layers.map(\.digest.description), "bottom first")
  }

  /// Keys, parents and labels: no blob's digest, no media type, no file.
  @Test(arguments: Scene.Backends.allowed) func theSnapshotterLearnsNothingOfImages(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let (_, calls) = try await scene.calls { try await scene.unpack(scene.pull()) }
    let snapshots = calls.filter { $0.component == "snapshots" }
    #expect(!snapshots.isEmpty)
    for call in snapshots {
      for argument in call.arguments {
        for descriptor in [scene.manifest, scene.config] + scene.layers { #expect(!argument.contains(descriptor.digest.hex), "\(call)") }
        #expect(!argument.contains("application/") && !argument.contains("tar") && !argument.contains(Scene.name), "\(call)")
      }
    }
  }

  /// Mounts go from the snapshotter to the applier unread, even of a type that nobody has heard of.
  @Test func whateverTheMountsAreTheApplierGetsThem() async throws {
    let scene = try Scene(.fakes)
    let image = try await scene.pull()
    let unpacker = ImageUnpacker(
      content: scene.content, snapshotter: StrangeMounts(snapshotter: scene.snapshotter), snapshotterName: "strange", applier: scene.applier
    ) { Digest.of($0) }
    let (_, calls) = try await scene.calls { try await unpacker.unpack(config: image.config, layers: image.layers) }
    let keys = calls.filter { $0.name == "snapshots.prepare" }.map { $0.arguments[0] }
    #expect(calls.filter { $0.name == "applier.apply" }.map { $0.arguments[1] } == keys.map { "strange://\($0)" })
  }

  @Test(arguments: Scene.Backends.allowed) func theRuntimeGetsMountsAndASpecAndAsksForNothingElse(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let top = try await scene.unpack(scene.pull())
    let (mounts, prepared) = try await scene.calls { try await scene.snapshotter.prepare("container", parent: top, labels: [:]) }
    #expect(prepared.map(\.name) == ["snapshots.prepare"])
    let (task, created) = try await scene.calls { try await scene.create("container", rootfs: mounts) }
    #expect(created.map(\.name) == ["runtime.create"])
    let (exit, ran) = try await scene.calls {
      _ = try await task.start(exec: nil)
      try await task.kill(exec: nil, signal: 9, all: true)
      _ = try await task.wait(exec: nil)
      return try await task.delete(exec: nil)
    }
    #expect(exit.code == 137)
    #expect(components(ran) == ["runtime"])
    let (_, removed) = try await scene.calls { try await scene.snapshotter.remove("container") }
    #expect(removed.map(\.name) == ["snapshots.remove"])
  }

  /// A layer that fails leaves no snapshot, whatever it was that failed; the next attempt goes through.
  @Test(arguments: ["applier.apply", "snapshots.commit", "content.reader"]) func aFailedLayerLeavesNothing(_ operation: String) async throws {
    let scene = try Scene(.fakes)
    let image = try await scene.pull()
    // Of the content store the config is read first: the second reader is the first layer's.
    scene.faults.add(.fail(.unavailable("broken")), to: operation, call: scene.faults.count(operation) + (operation == "content.reader" ? 2 : 1))
    scene.trace.clear()
    await #expect(throws: ContainerdError.unavailable("broken")) { try await scene.unpack(image) }
    let prepared = scene.trace.calls.filter { $0.name == "snapshots.prepare" }.map { $0.arguments[0] }
    #expect(prepared.count == 1)
    #expect(scene.trace.calls.filter { $0.name == "snapshots.remove" }.map { $0.arguments[0] } == prepared, "what was prepared is removed")
    scene.faults.clear()
    #expect(try await scene.snapshotter.stat(scene.unpack(image)).kind == .committed)
  }

  @Test(arguments: Scene.Backends.allowed) func doneTwiceNothingIsDoneAgain(_ backends: Scene.Backends) async throws {
    let scene = try Scene(backends)
    let first = try await scene.unpack(scene.pull())
    let (second, calls) = try await scene.calls { try await scene.unpack(scene.pull()) }
    #expect(first == second)
    #expect(calls.allSatisfy { !["registry.fetch", "content.commit", "snapshots.prepare", "applier.apply"].contains($0.name) }, "\(calls.map(\.name))")
  }
}

/// The snapshotter behind it, but with mounts of a type of its own.
private struct StrangeMounts: Snapshotter {
  let snapshotter: any Snapshotter

  private func strange(_ key: String) -> [Mount] { [Mount(type: "strange", source: "strange://\(key)", options: ["rw", "upperdir=/not/a/path"])] }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    _ = try await snapshotter.prepare(key, parent: parent, labels: labels)
    return strange(key)
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    _ = try await snapshotter.view(key, parent: parent, labels: labels)
    return strange(key)
  }
  func mounts(_ key: String) async throws -> [Mount] {
    _ = try await snapshotter.mounts(key)
    return strange(key)
  }
  func stat(_ key: String) async throws -> SnapshotInfo { try await snapshotter.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await snapshotter.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await snapshotter.usage(key) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await snapshotter.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await snapshotter.remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await snapshotter.walk(filters, visit) }
  func cleanup() async throws { try await snapshotter.cleanup() }
  func close() async throws { try await snapshotter.close() }
}
