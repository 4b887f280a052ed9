import CLinux
import FuseServer
import LayerIndex
import Protocols
import SystemKit
import TestSupport
import Testing

@testable import LazyLayers

/// The program that is built beside the tests; nil if it is not.
private let program: String? = {
  var buffer = [CChar](repeating: 0, count: 4096)
  let count = readlink("/proc/self/exe", &buffer, 4095)
  if count <= 0 { return nil }
  let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/containerd-ref"
  return Files.exists(path) ? path : nil
}()

/// Work on indexes by a child, as a server has it done.
@Suite(.enabled(if: program != nil, "needs containerd-ref built beside the tests")) struct DetachedWorkTests {
  private let scratch = ScratchDirectory("work")

  private func place(patience: Duration = .seconds(60)) throws -> WorkPlace {
    WorkPlace(command: [try #require(program), "snapshotter", "work"], patience: patience)
  }

  /// A child that does something else.
  private static func child(_ line: String, patience: Duration = .seconds(20)) -> WorkPlace { WorkPlace(command: ["/bin/sh", "-c", line], patience: patience) }

  /// A layer by Debian's tar, and its index.
  private func layer(_ name: String, _ line: String) throws -> (LayerIndex, file: String) {
    let (tree, archive) = ("\(scratch.path)/\(name)", "\(scratch.path)/\(name).tar.gz")
    try Files.makeDirectories(tree)
    let (status, output) = try run(["/bin/bash", "-ec", "cd \(tree); \(line); tar -C \(tree) -czf \(archive) ."])
    if status != 0 { throw ContainerdError(.unknown, "tar ended with \(status): \(output)") }
    let index = try LayerIndex.build(from: FileBytes(path: archive), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", spanSize: 64 << 10)
    try Files.writeAtomically(try IndexFile.encode(index), to: archive + ".idx")
    return (index, archive)
  }

  private func stack() throws -> [String] {
    let below = try layer("below", "mkdir -p etc many; seq 100000 >etc/numbers; for n in {1..300}; do echo $n >many/$n; done")
    let above = try layer("above", "mkdir etc; echo name >etc/name; touch .wh.many; truncate -s 2M etc/holes; echo end >>etc/holes")
    return [below.file + ".idx", above.file + ".idx"]
  }

  @Test func aChildMakesTheSameTree() throws {
    let files = try stack()
    var first = try IndexFile.decode(try Files.read(files[0]))
    first.prefetch = [try #require(first.entries.firstIndex { $0.text.hasSuffix("numbers") })]
    try Files.writeAtomically(try IndexFile.encode(first), to: files[0])
    let (here, there) = (scratch.path + "/here", scratch.path + "/there")
    let wishes = try place().run(TreeWork(indexes: files, tree: there))
    #expect(try WorkPlace.here.run(TreeWork(indexes: files, tree: here)) == wishes)
    let piece = try #require(first.entries[first.prefetch[0]].pieces.first)
    #expect(wishes == [TreeWork.Wish(layer: 0, from: piece.place, to: piece.place + piece.count)])
    #expect(try Files.read(here) == Files.read(there))
    // The root, etc, and its three files: what the upper layer has deleted is not there.
    #expect(try FlatTree(path: there).count == 5)
  }

  @Test func aBrokenIndexIsTheChildsErrorInItsOwnClass() throws {
    let files = try stack()
    var bytes = try Files.read(files[1])
    bytes[bytes.count / 2] ^= 1
    try Files.writeAtomically(bytes, to: files[1])
    let tree = scratch.path + "/tree"
    let broken = #expect(throws: ContainerdError.self) { try place().run(TreeWork(indexes: files, tree: tree)) }
    #expect(broken?.code == .invalidArgument && broken?.message == "index \(files[1]): layer index is damaged: its checksum is wrong")
    let absent = #expect(throws: ContainerdError.self) { try place().run(TreeWork(indexes: [scratch.path + "/none"], tree: tree)) }
    #expect(absent?.code == .notFound && absent?.message.contains("/none") == true)
    let nowhere = #expect(throws: ContainerdError.self) { try place().run(TreeWork(indexes: [files[0]], tree: "/proc/nowhere/tree")) }
    #expect(nowhere?.message.contains("/proc/nowhere/tree") == true)
    #expect(!Files.exists(tree))
    let unread = #expect(throws: ContainerdError.self) { try ReadyIndex(file: files[1], scratch: scratch.path + "/read", by: try place()) }
    #expect(unread?.code == .invalidArgument)
    #expect(try Files.names(in: scratch.path + "/read") == [])
  }

  @Test func anIndexIsReadByAChildAndPutOnAShelf() throws {
    let (index, file) = try layer("one", "seq 100000 >numbers")
    let read = scratch.path + "/read"
    let shelf = try LayerShelf(root: scratch.path + "/layers", policy: LayerPolicy(fillsInBackground: false), log: { _ in })
    do {
      let ready = try ReadyIndex(file: file + ".idx", scratch: read, by: try place())
      #expect(ready.blob == index.blob && ready.size == index.size && ready.diffID == index.diffID && ready.packing == .gzip && ready.isSeekable)
      #expect(try ready.read().index == index)
      #expect(try Files.names(in: read).count == 1)
      try shelf.place(ready)
      #expect(try Files.names(in: read) == [])
    }
    #expect(try Files.read(shelf.index(of: index.blob)) == Files.read(file + ".idx"))
    let spans = try SpanTable(path: shelf.directory(of: index.blob) + "/spans", blob: index.blob)
    #expect(spans.count == index.spans.count && spans.archiveSize == index.archiveSize)
    // Another of the same layer is not needed, and goes.
    do {
      let again = try ReadyIndex(file: file + ".idx", scratch: read, by: .here)
      try shelf.place(again)
    }
    for _ in 0..<500 where try !Files.names(in: read).isEmpty { usleep(10_000) }
    #expect(try Files.names(in: read) == [])
  }

  @Test func aLayerThatIsWholeIsCheckedByAChild() async throws {
    let (index, file) = try layer("one", "seq 200000 >numbers; truncate -s 1M holes")
    for lies in [false, true] {
      let shelf = try LayerShelf(
        root: "\(scratch.path)/layers-\(lies)", policy: LayerPolicy(fillsInBackground: false), work: try place(), log: { _ in })
      var told = index
      if lies { told.entries[1].mode ^= 0o22 }
      try shelf.place(told, bytes: try IndexFile.encode(told))
      let blob = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: index.blob, size: index.size)
      let name = LazyLayer.Name(blob: blob, diffID: try #require(index.diffID), image: "demo:latest")
      let layer = try shelf.layer(name, source: LocalBlob(try BlobFile(path: file)))
      layer.want(0..<index.archiveSize) { _ in }
      for _ in 0..<3000 where !layer.isComplete && !layer.isPoisoned { try await Task.sleep(for: .milliseconds(10)) }
      #expect(layer.isComplete == !lies && layer.isPoisoned == lies)
      // That it is poisoned is acted upon first, and written down then.
      let mark = layer.directory + (lies ? "/poisoned" : "/complete")
      for _ in 0..<3000 where !Files.exists(mark) { try await Task.sleep(for: .milliseconds(10)) }
      #expect(Files.exists(layer.directory + "/complete") == !lies && Files.exists(layer.directory + "/poisoned") == lies)
    }
  }

  /// A check takes its time; its layer may be removed meanwhile, and come again in the same place.
  @Test func aLayerThatWasRemovedMeanwhileGetsNoMark() throws {
    let (index, file) = try layer("one", "seq 1000 >numbers")
    let shelf = try LayerShelf(root: scratch.path + "/layers", policy: LayerPolicy(fillsInBackground: false), log: { _ in })
    let blob = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: index.blob, size: index.size)
    let name = LazyLayer.Name(blob: blob, diffID: try #require(index.diffID), image: "demo:latest")
    try shelf.place(index, bytes: try IndexFile.encode(index))
    let first = try shelf.layer(name, source: LocalBlob(try BlobFile(path: file)))
    let check = try LayerVerification(first)
    try shelf.remove(index.blob)
    #expect(throws: SystemError.self) { try check.perform() }
    try shelf.place(index, bytes: try IndexFile.encode(index))
    let second = try shelf.layer(name, source: LocalBlob(try BlobFile(path: file)))
    let error = #expect(throws: ContainerdError.self) { try check.perform() }
    #expect(error?.code == .notFound && error?.message == "layer \(index.blob) was removed", "\(error?.message ?? "")")
    #expect(!Files.exists(second.directory + "/complete") && !second.isPoisoned)
    // Its own check reads it, and finds that nothing is here yet.
    #expect((#expect(throws: ContainerdError.self) { try LayerVerification(second).perform() })?.code == .dataLoss)
    withExtendedLifetime(first) {}
  }

  // MARK: children that fail

  @Test(arguments: [
    ("kill -SEGV $$", ContainerdError.Code.internalError, "was ended by signal 11"),
    ("exit 3", .internalError, "has ended with status 3"),
    ("echo Segmentation fault", .internalError, "has answered \"Segmentation fault"),
    ("exec yes", .internalError, "had too much to say"),
    ("exec sleep 100", .deadlineExceeded, "had not ended after 0.2 seconds, and was killed"),
  ])
  func aChildThatFailsIsAnErrorThatSaysHow(_ line: String, _ code: ContainerdError.Code, _ words: String) throws {
    let patience = code == .deadlineExceeded ? Duration.milliseconds(200) : .seconds(20)
    let error = #expect(throws: ContainerdError.self) {
      try Self.child(line, patience: patience).run(TreeWork(indexes: [], tree: scratch.path + "/tree"))
    }
    #expect(error?.code == code)
    #expect(error?.message.hasPrefix("tree \(scratch.path)/tree: the process for it \(words)") == true, "\(error?.message ?? "")")
  }

  @Test func aChildThatHangsInItsWorkIsKilled() throws {
    let pipe = scratch.path + "/pipe"
    try check("mkfifo", pipe) { mkfifo(pipe, 0o600) }
    let error = #expect(throws: ContainerdError.self) {
      try place(patience: .seconds(1)).run(TreeWork(indexes: [pipe], tree: scratch.path + "/tree"))
    }
    #expect(error?.code == .deadlineExceeded)
  }

  @Test func aChildEndsWithItsParent() throws {
    let pipe = scratch.path + "/pipe"
    try check("mkfifo", pipe) { mkfifo(pipe, 0o600) }
    var ends: [Int32] = [-1, -1]
    try check("pipe2", "a life") { clinux_pipe(&ends) }
    let pid = try DetachedProcess.start(
      [try #require(program), "snapshotter", "work", "tree", "{\"indexes\":[\"\(pipe)\"],\"tree\":\"\(scratch.path)/tree\"}"],
      input: .descriptor(ends[0]), output: .path("/dev/null", O_WRONLY), errors: .path("/dev/null", O_WRONLY))
    close(ends[0])
    usleep(300_000)
    #expect(!DetachedProcess.reap(pid), "it waits for the pipe")
    close(ends[1])
    var isGone = false
    for _ in 0..<1000 where !isGone {
      usleep(10_000)
      isGone = DetachedProcess.reap(pid)
    }
    #expect(isGone)
    if !isGone { kill(pid, SIGKILL) }
  }
}
