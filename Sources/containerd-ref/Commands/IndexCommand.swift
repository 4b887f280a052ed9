import ArgumentParser
import BlockingIO
import CLinux
import Foundation
import FuseServer
import Hashing
import LayerIndex
import Protocols
import SystemKit

struct IndexCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "index", abstract: "Indexes of layers: read any file of an unmodified layer without unpacking the rest.",
    discussion: """
      An index holds the table of a layer's files, the places where unpacking can begin in the middle, and a digest for each span between them:

        containerd-ref index build layer.tar.gz -o layer.idx
        containerd-ref index inspect layer.idx
        containerd-ref index verify layer.idx layer.tar.gz
        containerd-ref index cat layer.idx layer.tar.gz etc/passwd
        containerd-ref index mount layer.idx layer.tar.gz /mnt
      """,
    subcommands: [Build.self, Inspect.self, Verify.self, Cat.self, Mount.self])

  struct Build: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Read a layer once and make its index.")
    @Argument(help: "The layer: a tar archive, plain or packed by gzip.")
    var blob: String
    @Option(name: .shortAndLong, help: "Where the index goes; by default beside the layer, with .idx behind its name.")
    var output: String?
    @Option(help: "Bytes of the archive that are unpacked at once, at least.")
    var span: Int64 = 1 << 20
    @Option(help: "The layer's media type; by default plain or gzip, as its first bytes say.")
    var mediaType: String?
    @Option(help: "The digest that the layer must have.")
    var digest: String?
    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
      let expected = try digest.map { try Digest(parsing: $0) }
      let (blob, span, mediaType) = (blob, span, mediaType)
      let began = ContinuousClock.now
      let (index, bytes) = try await DedicatedThread.run {
        let index = try LayerIndex.build(
          from: FileBytes(path: blob), mediaType: try mediaType ?? LayerForm.mediaType(of: blob), expected: expected, spanSize: span)
        return (index, try IndexFile.encode(index))
      }
      let took = began.duration(to: .now) / .seconds(1)
      let file = output ?? blob + ".idx"
      try await DedicatedThread.run { try LayerForm.write(bytes, to: file) }
      let facts = IndexFacts(index, bytes: bytes, file: file)
      if json { return try Output.json(facts) }
      Output.text("\(file): \(facts.sentence), in \(String(format: "%.2f", took)) s\n")
    }
  }

  struct Inspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Say what an index holds.")
    @Argument(help: "The index.")
    var index: String
    @Flag(help: "Print JSON.")
    var json = false
    @Flag(help: "List the files too.")
    var files = false

    private struct Listing: Encodable {
      var index: IndexFacts
      var files: [Row]
    }
    private struct Row: Encodable {
      var name: String
      var kind: String
      var size: Int64
      var spans: Int
      var digest: String?
    }

    func run() async throws {
      let file = index
      let (index, bytes) = try await DedicatedThread.run { try LayerForm.read(file) }
      let facts = IndexFacts(index, bytes: bytes, file: file)
      let rows = files ? index.entries.map { row($0, index) } : []
      if json { return files ? try Output.json(Listing(index: facts, files: rows)) : try Output.json(facts) }
      var table = Table(["", ""])
      table = Table(["index", facts.digest])
      table.add(["layer", "\(facts.blob), \(Human.size(facts.blobSize)), \(facts.packing)"])
      table.add(["archive", "\(facts.diffID), \(Human.size(facts.archiveSize))"])
      table.add(["spans", "\(facts.spans), the largest \(Human.size(facts.largestSpan)) of the layer"])
      table.add(["entries", "\(facts.entries), \(facts.files) of them files"])
      table.add(["size", "\(Human.size(facts.size)), \(facts.share) of the layer"])
      Output.text(table.text)
      if files {
        var list = Table(["NAME", "KIND", "SIZE", "SPANS"])
        for row in rows { list.add([row.name, row.kind, Human.size(row.size), "\(row.spans)"]) }
        Output.text("\n" + list.text)
      }
    }

    private func row(_ entry: LayerIndex.Entry, _ index: LayerIndex) -> Row {
      var spans = Set<Int>()
      for piece in entry.pieces { spans.formUnion(index.spans(holding: piece.place..<piece.place + piece.count)) }
      return Row(name: entry.text, kind: entry.kind.rawValue, size: entry.size, spans: spans.count, digest: entry.digest.map { "\($0)" })
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Compare an index with its layer: every span, every file, the archive as a whole.",
      discussion: "Ends with 1 at the first difference, which it names.")
    @Argument(help: "The index.")
    var index: String
    @Argument(help: "The layer.")
    var blob: String

    func run() async throws {
      let (file, layer) = (index, blob)
      let facts = try await DedicatedThread.run {
        let (index, bytes) = try LayerForm.read(file)
        let blob = try BlobFile(path: layer)
        if blob.size != index.size { throw ContainerdError(.dataLoss, "\(layer) has \(blob.size) bytes, the layer of \(file) \(index.size)") }
        try index.verify { try blob.read($0) }
        // The same bytes give the same table: that covers every entry, and the digest of the whole layer.
        let again = try LayerIndex.build(
          from: FileBytes(path: layer), mediaType: LayerForm.mediaType(of: index.packing), expected: index.blob, spanSize: 64 << 20)
        if let (ours, theirs) = zip(again.entries, index.entries).first(where: { $0 != $1 }) {
          throw ContainerdError(.dataLoss, "\(file) tells \"\(theirs.text)\" otherwise than the layer, which has \"\(ours.text)\" there")
        }
        if again.entries.count != index.entries.count {
          throw ContainerdError(.dataLoss, "\(file) has \(index.entries.count) entries, the layer \(again.entries.count)")
        }
        return IndexFacts(index, bytes: bytes, file: file)
      }
      Output.text("\(file) is right: \(facts.spans) spans and \(facts.entries) entries of \(facts.blob)\n")
    }
  }

  struct Cat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print a file of a layer, reading no more of the layer than holds it.", discussion: "--facts says on standard error what was read.")
    @Argument(help: "The index.")
    var index: String
    @Argument(help: "The layer.")
    var blob: String
    @Argument(help: "The file's name in the layer.")
    var name: String
    @Flag(help: "Say how much of the layer was read.")
    var facts = false

    func run() async throws {
      let (file, layer, name) = (index, blob, name)
      let (bytes, read, size) = try await DedicatedThread.run {
        let (index, _) = try LayerForm.read(file)
        guard let entry = index.entry(named: Array(name.utf8)) else { throw ContainerdError.notFound("\"\(name)\" in the index \(file)") }
        let blob = try BlobFile(path: layer)
        var read: Int64 = 0
        let bytes = try index.contents(of: entry) { range in
          read += range.upperBound - range.lowerBound
          return try blob.read(range)
        }
        return (bytes, read, index.size)
      }
      try await DedicatedThread.run { FileHandle.standardOutput.write(Data(bytes)) }
      if facts { Output.error("\(bytes.count) bytes of \(name) out of \(read) of the layer's \(size) bytes\n") }
    }
  }
}

extension IndexCommand {
  struct Mount: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Mount layers read-only, unpacking what is read.",
      discussion: """
        The layers come from below, each as its index and its file; last is the directory. Runs until SIGTERM or SIGINT, or until somebody unmounts it:

          containerd-ref index mount base.idx base.tar.gz app.idx app.tar.gz /mnt

        Prints a line when it is mounted. Needs root.
        """)
    @Argument(help: "INDEX LAYER [INDEX LAYER …] DIRECTORY")
    var words: [String]
    @Option(help: "Bytes of unpacked spans that are kept in memory.")
    var cache: Int = 64 << 20

    func validate() throws {
      if words.count < 3 || words.count % 2 == 0 { throw ValidationError("say an index and a file for each layer, and then the directory") }
      if cache < 0 { throw ValidationError("--cache \(cache) must not be less than 0") }
    }

    func run() async throws {
      let (words, cache) = (words, cache)
      let signals = StopSignals()
      let mount = try await DedicatedThread.run {
        let target = words[words.count - 1]
        var layers: [(index: LayerIndex, source: any LayerSource)] = []
        for place in stride(from: 0, to: words.count - 1, by: 2) {
          let (index, _) = try LayerForm.read(words[place])
          let blob = try BlobFile(path: words[place + 1])
          if blob.size != index.size {
            throw ContainerdError(.dataLoss, "\(words[place + 1]) has \(blob.size) bytes, the layer of \(words[place]) \(index.size)")
          }
          layers.append((index, blob))
        }
        return try FuseMount(layers, at: target, room: cache) { Failure.say($0) }
      }
      Output.text("\(mount.target): \(mount.nodes) files of \(words.count / 2) layers\n")
      try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
          try await DedicatedThread.run { mount.waitForEnd() }
          return false
        }
        group.addTask {
          await signals.wait()
          return true
        }
        if try await group.next() == true { try await DedicatedThread.run { try mount.unmount() } }
        group.cancelAll()
      }
    }
  }
}

/// What is said of an index.
struct IndexFacts: Encodable, Sendable {
  var digest: String
  var size: Int64
  var file: String
  var blob: String
  var blobSize: Int64
  var packing: String
  var diffID: String
  var archiveSize: Int64
  var spans: Int
  var largestSpan: Int64
  var entries: Int
  var files: Int

  init(_ index: LayerIndex, bytes: [UInt8], file: String) {
    digest = "\(Digest.of(bytes))"
    size = Int64(bytes.count)
    self.file = file
    blob = "\(index.blob)"
    blobSize = index.size
    packing = index.packing.rawValue
    diffID = "\(index.diffID)"
    archiveSize = index.archiveSize
    spans = index.spans.count
    largestSpan = index.spans.map { $0.blobRange.upperBound - $0.blobRange.lowerBound }.max() ?? 0
    entries = index.entries.count
    files = index.entries.count { $0.kind == .file }
  }

  var share: String { blobSize == 0 ? "nothing" : String(format: "%.2f %%", 100 * Double(size) / Double(blobSize)) }
  var sentence: String { "\(spans) spans, \(entries) entries, \(Human.size(size)), \(share) of the layer" }
}

/// Files of layers and of indexes. Blocking.
enum LayerForm {
  static func read(_ file: String) throws -> (LayerIndex, [UInt8]) {
    let bytes: [UInt8]
    do { bytes = try Files.read(file, limit: 1 << 30) } catch {
      throw ContainerdError(error.errno == ENOENT ? .notFound : .unknown, "index \(file): \(error.reason)")
    }
    do { return (try IndexFile.decode(bytes), bytes) } catch { throw ContainerdError(error.code, "\(file): \(error.message)") }
  }

  static func write(_ bytes: [UInt8], to file: String) throws {
    do { try Files.writeAtomically(bytes, to: file, mode: 0o644) } catch { throw ContainerdError(.unknown, "index \(file): \(error.reason)") }
  }

  static func mediaType(of packing: LayerIndex.Packing) -> String {
    switch packing {
    case .plain: "application/vnd.oci.image.layer.v1.tar"
    case .gzip: "application/vnd.oci.image.layer.v1.tar+gzip"
    }
  }

  /// By the first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1).
  static func mediaType(of file: String) throws -> String {
    let blob = try BlobFile(path: file)
    let start = try blob.read(0..<min(4, blob.size))
    if start.starts(with: [0x1f, 0x8b]) { return mediaType(of: .gzip) }
    if start.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) { return "application/vnd.oci.image.layer.v1.tar+zstd" }
    return mediaType(of: .plain)
  }
}
