import OCI
import Protocols

/// Remote snapshotters have layers without being given their files: whoever asks first need not fetch them.
extension ImageUnpacker {
  static let reference = "containerd.io/snapshot.ref"

  /// What a snapshotter had when it was asked, before a layer's blob was there.
  public struct Beginning: Sendable {
    /// How many layers, from the lowest, it has without our help.
    public let present: Int
    /// The snapshot for the next one, which it has not.
    let prepared: Prepared?
  }

  struct Prepared: Sendable {
    var key: String
    var chain: String
    var mounts: [Mount]
  }

  /// Asks the snapshotter for one layer after the other, bottom first, until it has none. Needs the config alone.
  ///
  /// The answer is to be given to `unpack`, or to `abandon`: what could not be had has been prepared.
  public func begin(config: Descriptor, layers: [Descriptor]) async throws -> Beginning {
    let image: ImageConfig
    // What is wrong with it is said when it is unpacked.
    do { image = try ImageConfig(parsing: await bytes(of: config.digest)) } catch let error as ContainerdError where error.code == .invalidArgument {
      return Beginning(present: 0, prepared: nil)
    }
    if image.diffIDs.count != layers.count { return Beginning(present: 0, prepared: nil) }
    var parent: String?
    for (number, diffID) in image.diffIDs.enumerated() {
      let chain = chain(diffID, on: parent)
      if let info = try await find(chain) {
        // Snapshots that were unpacked here are not labelled so, and are no reason to do without the blob.
        guard info.labels[Self.reference] == chain else { return Beginning(present: number, prepared: nil) }
      } else if let prepared = try await prepare(chain, parent) {
        return Beginning(present: number, prepared: prepared)
      }
      parent = chain
    }
    return Beginning(present: layers.count, prepared: nil)
  }

  /// Nothing is going to be unpacked.
  public func abandon(_ beginning: Beginning) async throws {
    guard let prepared = beginning.prepared else { return }
    // Also when we have been cancelled.
    try await Task { [snapshotter] in try await snapshotter.remove(prepared.key) }.value
  }
}
