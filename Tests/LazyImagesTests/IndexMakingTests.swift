import CLinux
import Foundation
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

/// The program that is built beside the tests; nil if it is not.
let program: String? = {
  var buffer = [CChar](repeating: 0, count: 4096)
  let count = readlink("/proc/self/exe", &buffer, 4095)
  if count <= 0 { return nil }
  let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/containerd-ref"
  return Files.exists(path) ? path : nil
}()

/// Indexes of layers that a client has unpacked.
@Suite struct IndexMakingTests {
  private final class Asked: Sendable {
    let layers = Mutex<[(Digest, String)]>([])
  }

  private static func library(_ scene: Scene, maker: ImageLibrary.Maker? = nil) -> ImageLibrary {
    ImageLibrary(
      resolver: scene.resolver, content: { [content = scene.content] _ in content }, indexes: scene.indexes, maker: maker,
      log: { [said = scene.said] in said.append($0) })
  }

  @Test func anotherProcessIsAskedForTheLayerThatWasUnpacked() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let asked = Asked()
      let library = Self.library(scene) { layer, namespace in
        asked.layers.withLock { $0.append((layer.digest, namespace)) }
        return 17
      }
      await library.unpacked(scene.request(2))
      let layers = asked.layers.withLock { $0 }
      #expect(layers.count == 1 && layers[0] == (scene.layers[1].digest, "default"))
      // One that is there already is not made again.
      try IndexShelf(root: scene.indexes).write([1], for: scene.layers[1].digest)
      await library.unpacked(scene.request(2))
      #expect(asked.layers.withLock { $0.count } == 1)
    }
  }

  @Test func aProcessThatFailsIsToldOfInTheLogAndTriedAgain() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let place = WorkPlace(command: ["/bin/sh", "-c", "kill -SEGV $$"])
      let (indexes, count) = (scene.indexes, Asked())
      let library = Self.library(scene) { layer, namespace in
        count.layers.withLock { $0.append((layer.digest, namespace)) }
        return try place.ask(IndexWork(layer, daemon: "/nowhere", namespace: namespace, indexes: indexes))
      }
      for _ in 0..<2 { await library.unpacked(scene.request(1)) }
      #expect(count.layers.withLock { $0.count } == 2)
      #expect(scene.said.lines.contains { $0.contains("index of layer \(scene.layers[0].digest): the process for it was ended by signal 11") })
      #expect(!IndexShelf(root: scene.indexes).has(scene.layers[0].digest))
    }
  }

  @Test func anIndexOnTheShelfThatIsDamagedIsMadeAgain() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let shelf = IndexShelf(root: scene.indexes)
      var bytes = try IndexFile.encode(try scene.index(try scene.archive(0)))
      bytes[bytes.count / 2] ^= 1
      try shelf.write(bytes, for: scene.layers[0].digest)
      let found = try await ReferredIndexTests.find(scene.library(), scene.request(1))
      #expect(found.offers.isEmpty && found.reason.contains("none was made on this machine"), "\(found.reason)")
      #expect(!shelf.has(scene.layers[0].digest))
    }
  }

  /// The policy is the 41st field of proc_pid_stat(5), the 39th behind the name; SCHED_IDLE is 5.
  private static func policies(_ pid: pid_t) -> [Substring] {
    let threads = (try? Files.names(in: "/proc/\(pid)/task")) ?? []
    return threads.compactMap { thread in
      guard let bytes = try? Files.read("/proc/\(pid)/task/\(thread)/stat"), let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
      let fields = String(decoding: bytes[(end + 2)...], as: UTF8.self).split(separator: " ")
      return fields.count > 38 ? fields[38] : nil
    }
  }

  @Test(.enabled(if: program != nil, "needs containerd-ref built beside the tests"))
  func theProcessTakesTheTimeThatNobodyElseWants() throws {
    let scratch = ScratchDirectory("idle")
    // A daemon that does not answer: the process waits for it.
    let daemon = try OwnedFD(adopting: check("socket", "a daemon") { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) })
    let (raw, address) = (daemon.raw, scratch.path + "/socket")
    try check("bind", address) { clinux_bind_unix(raw, address) }
    try check("listen", address) { listen(raw, 5) }
    let layer = Descriptor(mediaType: Scene.gzip, digest: .of([]), size: 1)
    let work = IndexWork(layer, daemon: address, namespace: "default", indexes: scratch.path)
    var ends: [Int32] = [-1, -1]
    try check("pipe2", "a life") { clinux_pipe(&ends) }
    let nowhere = DetachedProcess.Stream.path("/dev/null", O_WRONLY)
    let words = [try #require(program), "snapshotter", "work", IndexWork.name, String(decoding: try JSONEncoder().encode(work), as: UTF8.self)]
    let pid = try DetachedProcess.start(words, input: .descriptor(ends[0]), output: nowhere, errors: nowhere)
    close(ends[0])
    var seen: [Substring] = []
    for _ in 0..<2000 where seen.count < 2 || Set(seen) != ["5"] {
      usleep(10_000)
      seen = Self.policies(pid)
    }
    #expect(seen.count > 1 && Set(seen) == ["5"], "\(seen)")
    // Nobody waits for it any more.
    close(ends[1])
    var isGone = false
    for _ in 0..<3000 where !isGone {
      usleep(10_000)
      isGone = DetachedProcess.reap(pid)
    }
    #expect(isGone)
    if !isGone { kill(pid, SIGKILL) }
  }
}
