import CLinux
import FoundationEssentials
import Protocols
import SystemKit

/// What a lazy snapshot keeps on disk: `lazy.json` in its directory.
struct LazyRecord: Codable, Sendable, Hashable {
  struct Layer: Codable, Sendable, Hashable {
    var mediaType: String
    var digest: String
    var size: Int64
    var diffID: String

    func descriptor() throws(ContainerdError) -> Descriptor { Descriptor(mediaType: mediaType, digest: try Digest(parsing: digest), size: size) }
  }
  /// What its layers can be fetched by.
  var image: String
  /// All layers that it shows, from below.
  var layers: [Layer]
  /// The numbers of the snapshots below it, the lowest first.
  var chain: [Int64]

  static let file = "lazy.json"

  /// nil for a snapshot that is not lazy. Blocking.
  static func read(in directory: String) throws -> LazyRecord? {
    let path = "\(directory)/\(file)"
    do { return try JSONDecoder().decode(LazyRecord.self, from: Data(try Files.read(path))) } catch let error as SystemError where error.errno == ENOENT {
      // Or one that is being removed.
      return nil
    } catch let error as SystemError {
      // That passes: nothing is wrong with the record.
      throw error
    } catch {
      throw ContainerdError(.dataLoss, "\(path): \(error)")
    }
  }

  func write(in directory: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try Files.writeAtomically(Array(try encoder.encode(self)), to: "\(directory)/\(Self.file)")
  }
}
