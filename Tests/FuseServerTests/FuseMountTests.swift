import BlockingIO
import CFuse
import CLinux
import Dispatch
import Hashing
import LayerIndex
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

@testable import FuseServer

enum Lookup {
  static func find(_ tree: FlatTree, _ name: String) -> Int64 { name.withCString { cfuse_find(tree.tree, 0, $0, strlen($0)) } }
}

/// Why mounts cannot be tried here; nil if they can.
private let obstacle: String? =
  geteuid() != 0 ? "mounting needs root" : Files.exists("/dev/fuse") ? nil : "there is no /dev/fuse"

/// Layers that Debian's tar and gzip made, mounted, and looked at with Debian's tools.
@Suite(.serialized, .enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct FuseMountTests {
  /// What a test that failed has left mounted goes with it.
  private final class MountPoint {
    let path: String
    init(_ path: String) { self.path = path }
    deinit { umount2(path, Int32(MNT_DETACH)) }
  }
  private let mountPoint: MountPoint
  private let scratch = ScratchDirectory("fuse")
  private var target: String { mountPoint.path }

  init() throws {
    mountPoint = MountPoint(scratch.path + "/mnt")
    try Files.makeDirectories(mountPoint.path)
  }

  @discardableResult
  private func sh(_ line: String) throws -> String {
    let (status, output) = try run(["/bin/bash", "-ec", "set -o pipefail; cd \(scratch.path); " + line])
    if status != 0 { throw ContainerdError(.unknown, "\(line) ended with \(status): \(output)") }
    return output
  }

  /// A file of the layer that fails, lies, and counts when it is told to.
  private final class Source: LayerSource {
    let file: BlobFile
    let wrong = Mutex(false)
    let stalls = Mutex(false)
    let reads = Mutex(0)
    let pause: UInt32
    init(_ path: String, pause: UInt32 = 0) throws {
      file = try BlobFile(path: path)
      self.pause = pause
    }
    func read(_ range: Range<Int64>) async throws -> [UInt8] {
      reads.withLock { $0 += 1 }
      while stalls.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(20)) }
      if pause > 0 { try await Task.sleep(for: .microseconds(pause)) }
      var bytes = try file.read(range)
      if wrong.withLock({ $0 }), !bytes.isEmpty { bytes[bytes.count / 2] ^= 1 }
      return bytes
    }
  }

  private func index(_ name: String, span: Int64 = 64 << 10) throws -> LayerIndex {
    try LayerIndex.build(
      from: FileBytes(path: "\(scratch.path)/\(name)"),
      mediaType: "application/vnd.oci.image.layer.v1.tar" + (name.hasSuffix("gz") ? "+gzip" : ""), spanSize: span)
  }
  private func mounted(
    _ layers: [String], at place: String? = nil, pause: UInt32 = 0, deadline: Duration = .seconds(30), log: @escaping FuseMount.Log = { _ in }
  ) throws -> (FuseMount, [Source]) {
    let sources = try layers.map { try Source("\(scratch.path)/\($0)", pause: pause) }
    // A shelf of its own for each mount: nothing is there before it is read.
    let root = "\(scratch.path)/shelf-\(UInt32.random(in: 0...UInt32.max))"
    let shelf = try LayerShelf(root: root, policy: LayerPolicy(deadline: deadline, firstPause: .milliseconds(10)), log: log)
    let indexes = try layers.map { try index($0) }
    let opened = try zip(indexes, sources).map { index, source in
      try shelf.place(index, bytes: try IndexFile.encode(index))
      let type = "application/vnd.oci.image.layer.v1.tar" + (index.packing == .gzip ? "+gzip" : "")
      let blob = Descriptor(mediaType: type, digest: index.blob, size: index.size)
      return try shelf.layer(LazyLayer.Name(blob: blob, diffID: try #require(index.diffID), image: "demo:latest"), source: source)
    }
    try FlatTree.write(indexes, to: root + "/tree")
    return (try FuseMount(try FlatTree(path: root + "/tree"), opened, at: place ?? target, log: log), sources)
  }

  /// What a tree is, to the last bit but the times of directories that nobody named and inode numbers.
  private let listing = """
    find . -mindepth 1 -printf '%P %y %m %U:%G %s %T@ %n %l\\n' | awk '{ if ($2 == "d") $5 = "-"; print }' | sort; find . -type f -print0 | sort -z | xargs -0 -r sha256sum; \
    find . -print0 | sort -z | xargs -0 -r getfattr -h -d -m - --absolute-names
    """

  private func makeTree() throws {
    try sh(
      """
      mkdir -p tree/etc tree/usr/bin tree/many; cd tree
      seq 1 60000 >usr/numbers; head -c 900000 /dev/urandom >usr/noise; : >usr/empty
      ln -s numbers usr/link; ln usr/noise usr/hard; mkfifo usr/fifo; mknod usr/null c 1 3; mknod usr/disk b 259 65537
      truncate -s 3M usr/holes; echo end >>usr/holes; chmod 4755 usr/empty; chown 1000:2000 etc; chmod 1777 etc
      touch usr/$(printf 'n%.0s' {1..255}); touch -h -d '2001-02-03T04:05:06.789Z' usr/link
      setfattr -n user.note -v hello usr/numbers; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 usr/bin
      for n in $(seq 3000); do : >many/file-$n; done
      """)
  }

  @Test func aMountedLayerIsTheTreeItWasMadeOf() throws {
    try makeTree()
    for name in ["layer.tar", "layer.tar.gz"] {
      try sh("tar -c --sparse --format=pax --xattrs --xattrs-include='*' -C tree \(name.hasSuffix("gz") ? "-z" : "") -f \(name) .")
      let (mount, _) = try mounted([name])
      let ours = try sh("cd mnt; \(listing)")
      let theirs = try sh("cd tree; \(listing)")
      #expect(ours.count > 100_000)
      #expect(ours == theirs, "\(difference(theirs, ours))")
      try mount.unmount()
      #expect(try sh("ls mnt").isEmpty)
    }
  }

  private func difference(_ first: String, _ second: String) -> String {
    let (a, b) = (Set(first.split(separator: "\n")), Set(second.split(separator: "\n")))
    return "only there: \(a.subtracting(b).prefix(5)), only here: \(b.subtracting(a).prefix(5))"
  }

  @Test func readsAreRightAtEveryPlace() throws {
    try sh("mkdir tree; seq 1 90000 >tree/numbers; tar -czf layer.tar.gz -C tree .")
    let (mount, _) = try mounted(["layer.tar.gz"])
    let right = try Files.read(scratch.path + "/tree/numbers")
    let file = try Files.open(target + "/numbers", O_RDONLY | O_CLOEXEC)
    for (place, count) in [
      (0, 1), (1, 4096), (4095, 2), (65_535, 65_537), (right.count - 3, 100), (right.count, 10), (right.count + 5000, 10), (100_001, 200_000),
    ] {
      var bytes = [UInt8](repeating: 7, count: count)
      let got = pread(file.raw, &bytes, count, off_t(place))
      let expected = Array(right.dropFirst(place).prefix(count))
      #expect(got == expected.count && Array(bytes.prefix(got)) == expected, "\(count) at \(place)")
    }
    let length = right.count
    let map = mmap(nil, length, PROT_READ, MAP_PRIVATE, file.raw, 0)
    // All bits set is how a failure looks.
    #expect(map != UnsafeMutableRawPointer(bitPattern: -1))
    if let map, map != UnsafeMutableRawPointer(bitPattern: -1) {
      #expect(memcmp(map, right, length) == 0)
      munmap(map, length)
    }
    _ = consume file
    try mount.unmount()
  }

  @Test func nothingCanBeChanged() throws {
    try sh("mkdir tree; echo x >tree/a; tar -cf layer.tar -C tree .")
    let (mount, _) = try mounted(["layer.tar"])
    for line in [
      "echo y >mnt/b", "echo y >mnt/a", "rm mnt/a", "mkdir mnt/d", "mv mnt/a mnt/b", "chmod 600 mnt/a", "ln mnt/a mnt/b", "touch mnt/a",
      "setfattr -n user.x -v y mnt/a",
    ] {
      let (status, output) = try run(["/bin/bash", "-c", "cd \(scratch.path); LC_ALL=C \(line)"])
      #expect(status != 0 && output.contains("Read-only file system"), "\(line): \(output)")
    }
    try mount.unmount()
  }

  @Test func anOverlayStandsOnIt() throws {
    try sh("mkdir -p tree/usr base upper work merged; echo lower >tree/usr/a; echo gone >tree/usr/b; tar -czf layer.tar.gz -C tree .")
    let (mount, _) = try mounted(["layer.tar.gz"])
    try sh(
      """
      mount -t overlay -o lowerdir=mnt,upperdir=upper,workdir=work overlay merged
      cat merged/usr/a; echo upper >>merged/usr/a; rm merged/usr/b; [ "$(cat merged/usr/a)" = "$(printf 'lower\\nupper')" ]; [ "$(ls merged/usr)" = a ]
      umount merged; [ "$(cat mnt/usr/a)" = lower ]
      """)
    try mount.unmount()
  }

  @Test func layersLieOverEachOther() throws {
    try sh(
      """
      mkdir -p one/d one/e two/d two/e; echo 1 >one/d/a; echo 1 >one/d/b; echo 1 >one/e/x; echo 1 >one/top
      echo 2 >two/d/b; : >two/d/.wh.a; echo 2 >two/e/y; : >two/e/.wh..wh..opq; ln -s d/b two/link
      tar -czf one.tar.gz -C one .; tar -cf two.tar -C two .
      """)
    let (mount, _) = try mounted(["one.tar.gz", "two.tar"])
    #expect(try sh("cd mnt; find . -mindepth 1 | sort; cat d/b e/y top link") == "./d\n./d/b\n./e\n./e/y\n./link\n./top\n2\n2\n1\n2\n")
    try mount.unmount()
  }

  @Test func noWrongByteIsEverRead() throws {
    try sh("mkdir tree; seq 1 90000 >tree/numbers; tar -czf layer.tar.gz -C tree .")
    let told = Mutex<[String]>([])
    let (mount, sources) = try mounted(["layer.tar.gz"]) { line in told.withLock { $0.append(line) } }
    sources[0].wrong.withLock { $0 = true }
    let (status, output) = try run(["/bin/cat", target + "/numbers"])
    #expect(status != 0 && output.contains("Input/output error"))
    let lines = told.withLock { $0 }
    let said = "numbers cannot be read: image demo:latest, layer sha256:"
    #expect(lines.contains { $0.hasPrefix(said) && $0.contains("expected sha256:") }, "\(lines.prefix(2))")
    // The source does right again: so does the mount, without another.
    sources[0].wrong.withLock { $0 = false }
    #expect(try sh("cmp mnt/numbers tree/numbers").isEmpty)
    try mount.unmount()
  }

  /// The kernel asks again for what it could not read ahead: that must not be a second wait.
  @Test func aReadThatIsNotAnsweredEndsByTheDeadline() throws {
    try sh("mkdir tree; seq 1 90000 >tree/numbers; echo small >tree/small; tar -czf layer.tar.gz -C tree .")
    let told = Mutex<[String]>([])
    let (mount, sources) = try mounted(["layer.tar.gz"], deadline: .seconds(2)) { line in told.withLock { $0.append(line) } }
    let right = try Files.read(scratch.path + "/tree/numbers")
    let limits = Duration.seconds(1.8)..<Duration.seconds(3.9)
    sources[0].stalls.withLock { $0 = true }
    let took = Mutex<[Duration]>([])
    let group = DispatchGroup()
    for number in 0..<4 {
      let path = target + (number == 3 ? "/small" : "/numbers")
      group.enter()
      let failure = DedicatedThread.detach {
        defer { group.leave() }
        let began = ContinuousClock.now
        if Self.read(path, at: 8192, or: 0) == nil { took.withLock { $0.append(began.duration(to: .now)) } }
      }
      #expect(failure == 0)
    }
    group.wait()
    #expect(took.withLock { $0.count == 4 && $0.allSatisfy { limits.contains($0) } }, "\(took.withLock { $0 })")
    // A read that begins now waits as long; a thread that was told is not told at once when it asks again.
    for _ in 0..<2 {
      let began = ContinuousClock.now
      #expect(Self.read(target + "/numbers", at: 70_000) == nil)
      #expect(limits.contains(began.duration(to: .now)), "\(began.duration(to: .now))")
    }
    #expect(told.withLock { $0.contains { $0.contains("numbers cannot be read: ") && $0.contains("given up after") } })
    sources[0].stalls.withLock { $0 = false }
    #expect(Self.read(target + "/numbers", at: 70_000) == Array(right[70_000..<70_100]))
    try mount.unmount()
  }

  /// A hundred bytes; nil for an error of input and output. A file that ends before the place is read at `or`.
  private static func read(_ path: String, at place: Int, or other: Int = 0) -> [UInt8]? {
    guard let file = try? Files.open(path, O_RDONLY | O_CLOEXEC), let status = try? Files.status(path) else { return [] }
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = pread(file.raw, &bytes, 100, off_t(status.st_size > place ? place : other))
    if count < 0 { return clinux_errno() == EIO ? nil : [] }
    return Array(bytes.prefix(count))
  }

  @Test func aSpanThatManyWantIsFetchedOnce() throws {
    try sh("mkdir tree; for n in $(seq 40); do echo $n >tree/f$n; done; tar -czf layer.tar.gz -C tree .")
    let (mount, sources) = try mounted(["layer.tar.gz"], pause: 100_000)
    #expect(try sh("for n in $(seq 40); do cat mnt/f$n & done | sort -n | md5sum; wait") == sh("seq 40 | md5sum"))
    #expect(sources[0].reads.withLock { $0 } == 1)
    try mount.unmount()
  }

  @Test func whatIsInUseStaysMounted() throws {
    try sh("mkdir tree; echo x >tree/a; tar -cf layer.tar -C tree .")
    let (mount, _) = try mounted(["layer.tar"])
    let file = try Files.open(target + "/a", O_RDONLY | O_CLOEXEC)
    let error = #expect(throws: ContainerdError.self) { try mount.unmount() }
    #expect(error?.code == .failedPrecondition)
    #expect(try Files.readAll(file, path: "a") == Array("x\n".utf8))
    _ = consume file
    try mount.unmount()
    // Once more, when somebody else was faster, is no error.
    try mount.unmount()
  }

  @Test func whereItCannotBeMountedThatIsSaid() throws {
    try sh("mkdir tree; tar -cf layer.tar -C tree .")
    let error = #expect(throws: ContainerdError.self) { _ = try mounted(["layer.tar"], at: scratch.path + "/none") }
    #expect(error?.code == .notFound && error?.message.contains("/none") == true)
  }
}
