import CLinux
import Hashing
import LayerIndex
import LazyLayers
import Protocols
import SystemKit

/// What a lazy snapshotter has, read off its directory: whether a server runs or not, and without a word to it.
public struct LazyStatus: Codable, Sendable, Hashable {
  public var images: [Image]
  /// Layers on disk that no snapshot has: they go with the next clean-up.
  public var unused: [Layer]
  /// What was not lazy of late, the newest last.
  public var declined: [DeclinedLayer]
  /// What could not be read, in words.
  public var failures: [String]

  /// A stack of layers as its snapshots name it.
  public struct Image: Codable, Sendable, Hashable {
    /// What the layers can be fetched by.
    public var reference: String
    /// All layers that a snapshot of it has, from below.
    public var layers: [Layer]
    /// From below.
    public var snapshots: [Snapshot]
  }

  public struct Layer: Codable, Sendable, Hashable {
    public enum State: String, Codable, Sendable, Hashable {
      /// Its directory is not there.
      case missing
      case filling
      /// Whole, and checked against the image.
      case verified
      case poisoned
    }
    public var digest: String
    /// Of the blob, in bytes.
    public var size: Int64
    /// Bytes of the unpacked archive that are here, of all.
    public var here: Int64
    public var all: Int64
    public var state: State
    /// Why it is poisoned.
    public var reason: String?
    /// What an earlier start needed first; nil if that is not known.
    public var recorded: Recorded?

    public var percent: Double { all == 0 ? (state == .verified ? 100 : 0) : 100 * Double(here) / Double(all) }
  }

  /// A list of spans that are fetched as soon as the layer is mounted.
  public struct Recorded: Codable, Sendable, Hashable {
    public var spans: Int
    /// Bytes of the unpacked archive in them that are here, of all.
    public var here: Int64
    public var all: Int64

    public var percent: Double { all == 0 ? 100 : 100 * Double(here) / Double(all) }
  }

  public struct Snapshot: Codable, Sendable, Hashable {
    /// Of its directory.
    public var number: Int64
    /// Of all its layers (image-spec, config.md, "Layer ChainID").
    public var chain: String
    /// The layer that it adds.
    public var layer: String
    /// Whether the layer is in a plain directory.
    public var isGraduated: Bool
    /// Where its layers are mounted; nil if they are not.
    public var mount: String?
  }

  /// Reads a snapshotter's directory. `notFound` if there is none. A server may change it meanwhile: what goes while it is read is not told of. Blocking.
  public static func read(root: String, mountInfo: String = "/proc/self/mountinfo") throws -> LazyStatus {
    if !Files.exists(root) { throw ContainerdError.notFound("the snapshotter's directory \(root)") }
    var status = LazyStatus(images: [], unused: [], declined: [], failures: [])
    do { status.declined = try DeclinedLayers.read(root: root) } catch { status.failures.append("\(error)") }
    var stacks: [String: [(Int64, LazyRecord)]] = [:]
    for number in try numbers(in: "\(root)/snapshots") {
      let directory = "\(root)/snapshots/\(number)"
      do {
        if let record = try LazyRecord.read(in: directory) { stacks[record.image, default: []].append((number, record)) }
      } catch { if Files.exists("\(directory)/\(LazyRecord.file)") { status.failures.append("snapshot \(number): \(error)") } }
    }
    let mounts = try mountPoints(mountInfo, below: root)
    var used: Set<String> = []
    for (reference, found) in stacks.sorted(by: { $0.key < $1.key }) {
      var layers: [LazyRecord.Layer] = []
      var snapshots: [Snapshot] = []
      for (number, record) in found.sorted(by: { ($0.1.layers.count, $0.0) < ($1.1.layers.count, $1.0) }) {
        for layer in record.layers where used.insert("\(reference) \(layer.digest)").inserted { layers.append(layer) }
        let mount = "lazy/\(number)/mnt"
        snapshots.append(
          Snapshot(
            number: number, chain: chain(record.layers.map(\.diffID)), layer: record.layers.last?.digest ?? "",
            isGraduated: Graduation.isDone("\(root)/snapshots/\(number)"), mount: mounts.contains(mount) ? "\(root)/\(mount)" : nil))
      }
      status.images.append(
        Image(reference: reference, layers: try layers.map { try layer($0.digest, $0.size, root, &status.failures) }, snapshots: snapshots))
    }
    let known = Set(status.images.flatMap(\.layers).map(\.digest))
    for digest in try layerDigests(root) where !known.contains(digest) { status.unused.append(try layer(digest, 0, root, &status.failures)) }
    return status
  }

  // MARK: parts

  private static func layer(_ name: String, _ size: Int64, _ root: String, _ failures: inout [String]) throws -> Layer {
    let digest = try Digest(parsing: name)
    let directory = "\(root)/layers/\(digest.algorithm.rawValue)/\(digest.hex)"
    var layer = Layer(digest: name, size: size, here: 0, all: 0, state: .missing, reason: nil)
    if !Files.exists("\(directory)/spans") { return layer }
    do {
      let spans = try SpanTable(path: "\(directory)/spans", blob: digest)
      layer.size = spans.size
      layer.all = spans.archiveSize
      layer.state = .filling
      if Files.exists("\(directory)/complete") {
        layer.state = .verified
        layer.here = spans.archiveSize
        layer.recorded = recorded(directory, spans, { _ in true }, &failures)
        return layer
      }
      let present = Set(try present(directory, spans.count))
      layer.recorded = recorded(directory, spans, present.contains, &failures)
      for span in present {
        let range = spans.archiveRange(span)
        layer.here += range.upperBound - range.lowerBound
      }
      if Files.exists("\(directory)/poisoned") {
        layer.state = .poisoned
        layer.reason = String(decoding: try Files.read("\(directory)/poisoned"), as: UTF8.self)
      }
    } catch { if Files.exists("\(directory)/spans") { failures.append("layer \(name): \(error)") } }
    return layer
  }

  private static func recorded(_ directory: String, _ spans: SpanTable, _ isHere: (Int) -> Bool, _ failures: inout [String]) -> Recorded? {
    let path = "\(directory)/\(LazyLayer.accessFile)"
    if !Files.exists(path) { return nil }
    do {
      let list = try AccessList(decoding: try Files.read(path, limit: AccessList.mostBytes), of: AccessList.Table(spans))
      var recorded = Recorded(spans: list.spans.count, here: 0, all: 0)
      for span in list.spans {
        let range = spans.archiveRange(span)
        recorded.all += range.upperBound - range.lowerBound
        if isHere(span) { recorded.here += range.upperBound - range.lowerBound }
      }
      return recorded
    } catch {
      if Files.exists(path) { failures.append("layer \(spans.blob): \(path): \(error)") }
      return nil
    }
  }

  /// The spans that are here. What another boot of the machine has written counts for nothing (LazyLayer).
  private static func present(_ directory: String, _ count: Int) throws(SystemError) -> [Int] {
    guard Files.exists("\(directory)/present"), Files.exists("\(directory)/boot") else { return [] }
    if try Files.read("\(directory)/boot") != Files.read("/proc/sys/kernel/random/boot_id") { return [] }
    let bytes = try Files.read("\(directory)/present", limit: 1 << 30)
    return (0..<min(count, bytes.count)).filter { bytes[$0] != 0 }
  }

  private static func chain(_ diffIDs: [String]) -> String {
    diffIDs.reduce(nil) { parent, diffID in parent.map { Digest.of(Array("\($0) \(diffID)".utf8)).description } ?? diffID } ?? ""
  }

  private static func numbers(in directory: String) throws -> [Int64] {
    if !Files.exists(directory) { return [] }
    do { return try Files.names(in: directory).compactMap { Int64($0) }.sorted() } catch { throw ContainerdError(.unknown, "\(error)") }
  }

  private static func layerDigests(_ root: String) throws -> [String] {
    try Digest.Algorithm.allCases.flatMap { algorithm -> [String] in
      let directory = "\(root)/layers/\(algorithm.rawValue)"
      if !Files.exists(directory) { return [] }
      return try Files.names(in: directory).map { "\(algorithm.rawValue):\($0)" }.filter { (try? Digest(parsing: $0)) != nil }.sorted()
    }
  }

  /// What is mounted below a directory, by names that begin there (proc_pid_mountinfo(5)).
  private static func mountPoints(_ file: String, below root: String) throws -> Set<String> {
    let bytes: [UInt8]
    do { bytes = try Files.read(file) } catch { throw ContainerdError(.unknown, "\(error)") }
    guard let resolved = realpath(root, nil) else { return [] }
    defer { free(resolved) }
    let prefix = String(cString: resolved) + "/"
    var found: Set<String> = []
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: " "))
      guard fields.count > 4 else { continue }
      let place = unescaped(fields[4])
      if place.hasPrefix(prefix) { found.insert(String(place.dropFirst(prefix.count))) }
    }
    return found
  }

  /// Blanks, tabs, ends of lines and backslashes are octal there.
  private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8) {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
