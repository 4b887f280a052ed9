import BlockingIO
import CLinux
import LayerIndex
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

/// Why disks cannot be made up here; nil if they can.
private let obstacle: String? =
  geteuid() != 0 ? "mounting needs root" : Files.exists("/dev/loop-control") ? nil : "there are no loop devices"

/// Layers on disks that do not take what is written.
@Suite(.serialized, .enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct LayerDiskTests {
  private final class Disk {
    let path: String
    init(_ path: String) { self.path = path }
    deinit { for place in ["disk", "memory"] { umount2("\(path)/\(place)", Int32(MNT_DETACH)) } }
  }

  private final class Source: LayerSource {
    let file: BlobFile
    let reads = Mutex(0)
    init(_ path: String) throws { file = try BlobFile(path: path) }
    func read(_ range: Range<Int64>) async throws -> [UInt8] {
      reads.withLock { $0 += 1 }
      return try file.read(range)
    }
  }

  // Gone before the directory.
  private let disk: Disk
  private let scratch = ScratchDirectory("layer-disk")
  private let told = Told()

  final class Told: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    func contains(_ words: String) -> Bool { lines.withLock { $0.contains { $0.contains(words) } } }
  }

  init() { disk = Disk(scratch.path) }

  private func sh(_ line: String) throws {
    let (status, output) = try run(["/bin/bash", "-ec", "cd '\(scratch.path)'; " + line])
    if status != 0 { throw ContainerdError(.unknown, "\(line) ended with \(status): \(output)") }
  }

  /// A layer of noise, 12 MiB, whose directory is on the disk.
  private func layer(_ policy: LayerPolicy) throws -> (LazyLayer, Source) {
    try sh("mkdir tree; head -c 12M /dev/urandom >tree/noise; tar -C tree -czf layer.tar.gz .; gunzip -k layer.tar.gz")
    let type = "application/vnd.oci.image.layer.v1.tar+gzip"
    let index = try LayerIndex.build(from: FileBytes(path: scratch.path + "/layer.tar.gz"), mediaType: type, spanSize: 256 << 10)
    let shelf = try LayerShelf(root: scratch.path + "/disk/layers", policy: policy, log: told.add)
    try shelf.place(index, bytes: try IndexFile.encode(index))
    let source = try Source(scratch.path + "/layer.tar.gz")
    let name = LazyLayer.Name(
      blob: Descriptor(mediaType: type, digest: index.blob, size: index.size), diffID: try #require(index.diffID), image: "demo:latest")
    return (try shelf.layer(name, source: source), source)
  }

  private func load(_ layer: LazyLayer) async -> ContainerdError? {
    await withCheckedContinuation { done in layer.want(0..<layer.spans.archiveSize) { done.resume(returning: $0) } }
  }

  private func wait(_ what: String, _ isSo: () -> Bool) async throws {
    for _ in 0..<3000 where !isSo() { try await Task.sleep(for: .milliseconds(10)) }
    #expect(isSo(), "\(what)")
  }

  @Test func onAFullDiskNothingIsFetchedAgainUntilThereIsRoom() async throws {
    try sh("mkdir disk; mount -t tmpfs -o size=8m none disk")
    let (layer, source) = try layer(
      LayerPolicy(deadline: .seconds(12), firstPause: .milliseconds(10), longestPause: .milliseconds(20), fillsInBackground: false))
    let error = await load(layer)
    #expect(error?.code == .resourceExhausted, "\(error.map { "\($0)" } ?? "there was room")")
    let before = source.reads.withLock { $0 }
    #expect(before < 40, "\(before) requests for 12 MiB")
    // Whoever comes now is told the same, and the registry is not asked.
    #expect(await load(layer)?.code == .resourceExhausted)
    #expect(source.reads.withLock { $0 } == before)
    try sh("mount -o remount,size=64m disk")
    #expect(await load(layer) == nil)
    try await wait("it is complete") { layer.isComplete }
  }

  /// The kernel tells once that it could not write a page, and has it in memory all the same, for a while.
  @Test func whatTheDiskHasNotTakenIsFetchedAgain() async throws {
    try sh(
      """
      mkdir disk memory; mount -t tmpfs -o size=12m none memory; truncate -s 64M memory/image; mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=0 memory/image
      mount -o loop memory/image disk
      """)
    let (layer, source) = try layer(LayerPolicy(firstPause: .milliseconds(10), fillsInBackground: false, checkPause: .seconds(2)))
    #expect(await load(layer) == nil)
    try await wait("that it is not on disk is noticed") { told.contains("cannot be checked now") }
    let first = source.reads.withLock { $0 }
    try sh("mount -o remount,size=128m memory")
    try await wait("it is complete") { layer.isComplete }
    #expect(source.reads.withLock { $0 } > first)
    try sh("sync; echo 1 >/proc/sys/vm/drop_caches; cmp layer.tar '\(layer.directory)/archive'")
  }
}
