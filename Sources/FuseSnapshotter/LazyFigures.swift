import FuseServer
import LazyLayers
import Protocols

/// A lazy snapshotter in numbers.
public struct LazyFigures: Sendable {
  public struct Layer: Sendable {
    public var name: LazyLayer.Name
    public var figures: LazyLayer.Figures
    public init(name: LazyLayer.Name, figures: LazyLayer.Figures) {
      self.name = name
      self.figures = figures
    }
  }
  public var layers: [Layer]
  /// By the number of a chain's top snapshot.
  public var mounts: [Int64: FuseMount.Figures]
  /// Since the process began.
  public var declined: [LazyObstacle: Int]

  public init(layers: [Layer], mounts: [Int64: FuseMount.Figures], declined: [LazyObstacle: Int]) {
    self.layers = layers
    self.mounts = mounts
    self.declined = declined
  }

  /// For Prometheus (text exposition format 0.0.4).
  public var text: String {
    var text = MetricsText()
    layerFamilies(&text)
    mountFamilies(&text)
    text.family(
      "snapshots_declined_total", .counter, "Layers that a client had to unpack itself, by what stood in the way.",
      LazyObstacle.allCases.map { ([("obstacle", $0.rawValue)], "\(declined[$0] ?? 0)") })
    return text.text
  }

  private func layerFamilies(_ text: inout MetricsText) {
    let layers = layers.sorted { ($0.name.image, "\($0.name.blob.digest)") < ($1.name.image, "\($1.name.blob.digest)") }
    func family(_ name: String, _ kind: MetricsText.Kind, _ help: String, _ value: (LazyLayer.Figures) -> Int64) {
      text.family(
        "layer_\(name)", kind, help, layers.map { ([("image", $0.name.image), ("layer", "\($0.name.blob.digest)")], "\(value($0.figures))") })
    }
    family("fetched_bytes_total", .counter, "Bytes of the layer that this process has fetched from a registry.") { $0.fetched }
    family("here_bytes", .gauge, "Bytes of the unpacked layer that are on this machine.") { $0.here }
    family("bytes", .gauge, "Bytes of the unpacked layer.") { $0.all }
    family("complete", .gauge, "Whether the layer is whole and was checked against the image.") { $0.isComplete ? 1 : 0 }
    family("poisoned", .gauge, "Whether the layer is not what the image names: reads of it fail.") { $0.isPoisoned ? 1 : 0 }
    family("waiting_reads", .gauge, "Reads that wait for bytes of the layer.") { Int64($0.waiting) }
    family("fetch_errors_total", .counter, "Requests for parts of the layer that failed, or brought what was wrong.") { Int64($0.fetchErrors) }
  }

  private func mountFamilies(_ text: inout MetricsText) {
    let mounts = mounts.sorted { $0.key < $1.key }
    text.family(
      "mount_reads_total", .counter, "Reads of files that the kernel has asked for, by how they were answered.",
      mounts.flatMap { number, figures in
        [([("snapshot", "\(number)"), ("result", "bytes")], "\(figures.answered)"), ([("snapshot", "\(number)"), ("result", "error")], "\(figures.failed)")]
      })
    text.family(
      "mount_opens_total", .counter, "Opens of large files since they were mounted: passed through to the file system below, or served by this process.",
      mounts.flatMap { number, figures -> [MetricsText.Sample] in
        guard let passed = figures.opensPassed, let cached = figures.opensCached else { return [] }
        return [([("snapshot", "\(number)"), ("way", "passed")], "\(passed)"), ([("snapshot", "\(number)"), ("way", "cached")], "\(cached)")]
      })
    text.family(
      "mount_neighbours_pushed_total", .counter, "Small files that the kernel was given before it asked for them.",
      mounts.map { ([("snapshot", "\($0.key)")], "\($0.value.pushed)") })
  }
}

/// Prometheus' text format: families in the order in which they are added.
struct MetricsText {
  enum Kind: String { case counter, gauge }
  typealias Sample = (labels: [(String, String)], value: String)

  private static let prefix = "containerd_ref_"
  private(set) var text = ""

  /// A family without samples is told all the same: it is zero of nothing.
  mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
    text += "# HELP \(Self.prefix)\(name) \(help)\n# TYPE \(Self.prefix)\(name) \(kind.rawValue)\n"
    for sample in samples {
      let labels = sample.labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
      text += "\(Self.prefix)\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(sample.value)\n"
    }
  }

  static func escaped(_ value: String) -> String {
    var text = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
