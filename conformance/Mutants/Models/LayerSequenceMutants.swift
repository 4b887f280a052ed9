import ConformanceKit
import ConformanceSuites
import Hashing
import Protocols

/// Faults of appliers that only some orders of entries show.
enum LayerSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD51", "a whiteout that comes after another entry of its directory is ignored") { names, name in
      whiteout(name) != nil && names.contains { directory($0) == directory(name) && whiteout($0) == nil }
    },
    mutant("MD52", "of two whiteouts in one directory the second is ignored") { names, name in
      whiteout(name) != nil && names.contains { directory($0) == directory(name) && whiteout($0) != nil }
    },
    mutant("MD53", "an opaque marker after an entry of its directory is ignored") { names, name in
      name.hasSuffix("/.wh..wh..opq") && names.contains { $0.hasPrefix(directory(name) + "/") && $0 != directory(name) + "/" }
    },
  ]

  private static func directory(_ name: String) -> String { name.split(separator: "/").dropLast().joined(separator: "/") }
  private static func whiteout(_ name: String) -> Substring? {
    let last = name.split(separator: "/").last ?? ""
    return last.hasPrefix(".wh.") && last != ".wh..wh..opq" ? last.dropFirst(4) : nil
  }

  /// - Parameter ignored: given the names before it in the archive, whether an entry is left out.
  static func mutant(_ id: String, _ sentence: String, _ ignored: @escaping @Sendable (_ before: [String], _ name: String) -> Bool) -> Mutant {
    Mutant(
      id, sentence, in: .whiteouts, on: "inproc:overlay", kills: ["layers.model.apply"], symptom: "the tree of", scope: ["layers.model"]
    ) {
      $0.wrap(LayerSubject.self) { $0.applier = LossyApplier(base: $0.applier, ignored: ignored) }
    }
  }
}

/// Leaves entries of plain archives out before it hands them on.
private struct LossyApplier: LayerApplier {
  let base: any LayerApplier
  let ignored: @Sendable ([String], String) -> Bool

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    let reader = try await content.reader(layer.digest)
    let bytes = try await reader.read(at: 0, count: Int(reader.size))
    await reader.close()
    let kept = filtered(bytes)
    var changed = layer
    changed.digest = Digest.of(kept)
    changed.size = Int64(kept.count)
    return try await base.apply(changed, from: Bytes(bytes: kept), to: mounts, options: options)
  }

  private func filtered(_ bytes: [UInt8]) -> [UInt8] {
    var kept: [UInt8] = []
    var names: [String] = []
    var place = 0
    while place + 512 <= bytes.count, bytes[place] != 0 {
      let name = String(decoding: bytes[place..<place + 100].prefix { $0 != 0 }, as: UTF8.self)
      let size = Int(String(decoding: bytes[place + 124..<place + 135], as: UTF8.self), radix: 8) ?? 0
      let end = min(bytes.count, place + 512 + (size + 511) / 512 * 512)
      if !ignored(names, name) { kept += bytes[place..<end] }
      names.append(name)
      place = end
    }
    return kept + bytes[place...]
  }

  private struct Bytes: ContentProvider, ContentReader {
    let bytes: [UInt8]
    var size: Int64 { Int64(bytes.count) }
    func reader(_ digest: Digest) async throws -> any ContentReader { self }
    func read(at offset: Int64, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
    func close() async {}
  }
}
