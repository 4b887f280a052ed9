import ArgumentParser
import BlockingIO
import CLinux
import Foundation
import FuseServer
import Hashing
import LayerIndex
import LazyLayers
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
        containerd-ref index push registry.example/app:1
        containerd-ref index ls registry.example/app:1
      """,
    subcommands: [Build.self, Inspect.self, Verify.self, Cat.self, Mount.self, Push.self, List.self])

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
        if let difference = index.difference(from: again) { throw ContainerdError(.dataLoss, "\(file) does not tell what is in the layer: \(difference)") }
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

        Prints a line when it is mounted and, where opens are answered, one at the end that counts those that the kernel serves itself. Needs root.
        """)
    @Argument(help: "INDEX LAYER [INDEX LAYER …] DIRECTORY")
    var words: [String]
    @Option(help: "Where unpacked spans are kept, to be used again by another mount; by default a temporary directory that goes with the mount.")
    var cache: String?
    @Option(help: "Where a layer's files lie unpacked; once for each layer, from below. If most bytes are in large files, the kernel reads those from there.")
    var files: [String] = []
    @Option(help: "How the kernel is spoken to.")
    var transport: Transport = .raw
    @OptionGroup var idle: IdleOption

    enum Transport: String, ExpressibleByArgument, CaseIterable { case raw, libfuse }

    func validate() throws {
      if words.count < 3 || words.count % 2 == 0 { throw ValidationError("say an index and a file for each layer, and then the directory") }
      if !files.isEmpty, files.count != words.count / 2 {
        throw ValidationError("--files is there \(files.count) times for \(words.count / 2) layers: say it once for each")
      }
    }

    func run() async throws {
      let cache = cache
      let directory = try await DedicatedThread.run { try cache ?? Self.temporaryDirectory() }
      do { try await serve(directory) } catch {
        if cache == nil { try await DedicatedThread.run { try Files.removeTree(directory) } }
        throw error
      }
      if cache == nil { try await DedicatedThread.run { try Files.removeTree(directory) } }
    }

    private func serve(_ cache: String) async throws {
      let (words, files, transport) = (words, files, transport)
      let signals = StopSignals()
      idle.apply { Failure.say($0) }
      let mount = try await DedicatedThread.run { try Self.mount(words, files, transport, cache: cache) }
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
      if let opens = mount.opens { Output.text("opens passed through to the kernel: \(opens.passed), others: \(opens.cached)\n") }
    }

    private static func temporaryDirectory() throws -> String {
      var template = Array("/tmp/containerd-ref-index-XXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else { throw ContainerdError(.unknown, "\(SystemError.last("mkdtemp", "/tmp"))") }
      return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func mount(_ words: [String], _ files: [String], _ transport: Transport, cache: String) throws -> FuseMount {
      let target = words[words.count - 1]
      // A server from here on, which may live long.
      clinux_keep_heap_small()
      let shelf = try LayerShelf(
        root: cache + "/layers", policy: LayerPolicy(deadline: .seconds(5), fillsInBackground: false), work: WorkCommand.place, log: { Failure.say($0) })
      var layers: [LazyLayer] = []
      for place in stride(from: 0, to: words.count - 1, by: 2) {
        let index = try LayerForm.ready(words[place], scratch: cache + "/read")
        let blob = try BlobFile(path: words[place + 1])
        if blob.size != index.size {
          throw ContainerdError(.dataLoss, "\(words[place + 1]) has \(blob.size) bytes, the layer of \(words[place]) \(index.size)")
        }
        guard let diffID = index.diffID else { throw ContainerdError.invalidArgument("\(words[place]) does not say the DiffID of its layer") }
        try shelf.place(index)
        let descriptor = Descriptor(mediaType: LayerForm.mediaType(of: index.packing), digest: index.blob, size: index.size)
        layers.append(try shelf.layer(LazyLayer.Name(blob: descriptor, diffID: diffID, image: words[place + 1]), source: LocalBlob(blob)))
      }
      let tree = "\(cache)/tree-\(getpid())"
      _ = try WorkCommand.place.run(TreeWork(indexes: layers.map { shelf.index(of: $0.name.blob.digest) }, tree: tree))
      let flat = try FlatTree(path: tree)
      // It is mapped: its name is of no more use.
      unlink(tree)
      for directory in files where !Files.exists(directory) { throw ContainerdError.notFound("--files \(directory)") }
      let form = FuseMount.Form(
        transport: transport == .raw ? .raw : .libfuse, answersOpens: !files.isEmpty && flat.isMadeOfLargeFiles,
        directory: { files.indices.contains($0) ? files[$0] : nil })
      let mount = try FuseMount(flat, layers, at: target, form: form, log: { Failure.say($0) })
      clinux_give_back()
      return mount
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
    diffID = index.diffID.map { "\($0)" } ?? "not told"
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

  /// For who needs no more of it than it takes to serve it.
  static func ready(_ file: String, scratch: String) throws -> ReadyIndex {
    do { return try ReadyIndex(file: file, scratch: scratch, by: WorkCommand.place) } catch let error as ContainerdError {
      if error.message.contains(file) { throw error }
      throw ContainerdError(error.code, "\(file): \(error.message)")
    }
  }

  static func write(_ bytes: [UInt8], to file: String) throws {
    do { try Files.writeAtomically(bytes, to: file, mode: 0o644) } catch { throw ContainerdError(.unknown, "index \(file): \(error.reason)") }
  }

  static func mediaType(of packing: LayerIndex.Packing) -> String {
    switch packing {
    case .plain: "application/vnd.oci.image.layer.v1.tar"
    case .gzip: "application/vnd.oci.image.layer.v1.tar+gzip"
    case .zstd: "application/vnd.oci.image.layer.v1.tar+zstd"
    }
  }

  /// By the first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1).
  static func mediaType(of file: String) throws -> String {
    let blob = try BlobFile(path: file)
    let start = try blob.read(0..<min(4, blob.size))
    if start.starts(with: [0x1f, 0x8b]) { return mediaType(of: .gzip) }
    if start.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) { return mediaType(of: .zstd) }
    return mediaType(of: .plain)
  }
}
