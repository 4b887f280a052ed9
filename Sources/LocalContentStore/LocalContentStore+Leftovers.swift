import Hashing
import Protocols
import SystemKit

extension LocalContentStore {
  /// Removes what a crash can leave: aborted ingests, ingests that never got a name or whose bytes have become a blob already, labels without
  /// their blob (they would be the next one's), and temporary files. Before anybody uses the store.
  func removeLeftovers() throws {
    for name in try Files.names(in: "\(root)/ingest") {
      let directory = "\(root)/ingest/\(name)"
      if name.contains(Self.doomedMark) {
        try Files.removeTree(directory)
      } else if try readStatus(directory) == nil {
        try Files.removeTree(directory)
      } else {
        for file in try Files.names(in: directory) where file.contains(Self.temporaryMark) { try Files.removeTree("\(directory)/\(file)") }
      }
    }
    for algorithm in Digest.Algorithm.allCases {
      let labels = "\(root)/labels/\(algorithm.rawValue)"
      for name in try Files.names(in: labels) where !Files.exists("\(root)/blobs/\(algorithm.rawValue)/\(name)") { try Files.removeTree("\(labels)/\(name)") }
    }
  }

  /// In the names that `Files.writeAtomically` gives while it writes.
  private static let temporaryMark = ".tmp."
}
