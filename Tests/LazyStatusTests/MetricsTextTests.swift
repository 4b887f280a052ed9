import FuseServer
import Hashing
import LazyLayers
import Protocols
import Testing

@testable import FuseSnapshotter

@Suite struct MetricsTextTests {
  static let digest = Digest.of([1])

  static func figures(image: String) -> LazyFigures {
    let name = LazyLayer.Name(blob: Descriptor(mediaType: "x", digest: digest, size: 10), diffID: digest, image: image)
    let layer = LazyLayer.Figures(fetched: 5, here: 20, all: 30, isComplete: false, isPoisoned: true, waiting: 2, fetchErrors: 3)
    return LazyFigures(
      layers: [.init(name: name, figures: layer)],
      mounts: [9: .init(answered: 100, failed: 1, pushed: 7, opensPassed: 4, opensCached: 2), 3: .init(answered: 0, failed: 0, pushed: 0)],
      declined: [.noIndex: 6])
  }

  @Test func everyFamilyHasHelpTypeAndSamples() {
    let lines = Self.figures(image: "a/b@sha256:1").text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.last == "")
    let labels = "{image=\"a/b@sha256:1\",layer=\"\(Self.digest)\"}"
    for line in [
      "containerd_ref_layer_fetched_bytes_total\(labels) 5", "containerd_ref_layer_here_bytes\(labels) 20", "containerd_ref_layer_bytes\(labels) 30",
      "containerd_ref_layer_complete\(labels) 0", "containerd_ref_layer_poisoned\(labels) 1", "containerd_ref_layer_waiting_reads\(labels) 2",
      "containerd_ref_layer_fetch_errors_total\(labels) 3", "containerd_ref_mount_reads_total{snapshot=\"9\",result=\"bytes\"} 100",
      "containerd_ref_mount_reads_total{snapshot=\"9\",result=\"error\"} 1", "containerd_ref_mount_reads_total{snapshot=\"3\",result=\"bytes\"} 0",
      "containerd_ref_mount_opens_total{snapshot=\"9\",way=\"passed\"} 4", "containerd_ref_mount_opens_total{snapshot=\"9\",way=\"cached\"} 2",
      "containerd_ref_mount_neighbours_pushed_total{snapshot=\"9\"} 7", "containerd_ref_snapshots_declined_total{obstacle=\"no-index\"} 6",
      "containerd_ref_snapshots_declined_total{obstacle=\"failure\"} 0",
    ] { #expect(lines.contains(Substring(line)), "\(line)") }
    #expect(!lines.contains { $0.hasPrefix("containerd_ref_mount_opens_total{snapshot=\"3\"") })
  }

  /// The rules of the format, line by line.
  @Test func theTextIsWellFormed() throws {
    var family = ""
    var kinds: [String: String] = [:]
    for line in Self.figures(image: "x").text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if line.hasPrefix("# HELP ") {
        family = String(words[2])
        #expect(words.count > 4 && kinds[family] == nil)
      } else if line.hasPrefix("# TYPE ") {
        #expect(words.count == 4 && words[2] == family && ["counter", "gauge"].contains(words[3]))
        kinds[family] = String(words[3])
      } else {
        let name = String(line.prefix { $0 != "{" && $0 != " " })
        #expect(name == family && kinds[family] != nil && name.allSatisfy { $0.isLowercase || $0 == "_" })
        #expect(Double(words[words.count - 1]) != nil)
        #expect(name.hasSuffix("_total") == (kinds[family] == "counter"))
      }
    }
    #expect(kinds.count == 11)
  }

  @Test func labelsAreEscaped() {
    #expect(MetricsText.escaped("a\\b\"c\nd") == "a\\\\b\\\"c\\nd")
    #expect(Self.figures(image: "a\"b").text.contains("{image=\"a\\\"b\",layer="))
  }
}
