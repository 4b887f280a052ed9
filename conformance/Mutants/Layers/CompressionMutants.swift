import ConformanceKit
import ConformanceSuites
import Hashing
import Protocols

extension LayerMutants {
  /// Faults of appliers that read compressed layers.
  static let compression: [Mutant] = [
    refusing("LA40", "layers of Docker's media types are refused", kills: ["layers.compression.forms"], symptom: "docker") { $0.contains("docker") },
    refusing("LA41", "layers that are not pushed are refused", kills: ["layers.compression.nondistributable"], symptom: "nondistributable") {
      $0.contains("nondistributable") || $0.contains("foreign")
    },
    refusing("LA42", "layers compressed with zstd are refused", kills: ["layers.compression.zstd"], symptom: "zstd") { $0.contains("zstd") },
    applying("LA43", "what follows the first member of gzip is not read", kills: ["layers.compression.gzip-members"]) { applier in
      applier.onApply = { base, layer, content, mounts, options in
        let reader = try await content.reader(layer.digest)
        let bytes = firstMember(of: try await reader.read(at: 0, count: Int(layer.size)))
        await reader.close()
        let part = Descriptor(mediaType: layer.mediaType, digest: Digest.of(bytes), size: Int64(bytes.count))
        return try await base.apply(part, from: OneBlob(bytes: bytes), to: mounts, options: options)
      }
    },
    applying("LA44", "a compressed layer ends where it is broken", kills: ["layers.compression.broken"], symptom: "it succeeded") { applier in
      applier.onApply = { base, layer, content, mounts, options in
        do { return try await base.apply(layer, from: content, to: mounts, options: options) } catch let error as ContainerdError {
          if layer.mediaType == LayerSubject.plain { throw error }
          return layer
        }
      }
    },
  ]

  private static func refusing(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ refused: @escaping @Sendable (_ mediaType: String) -> Bool
  ) -> Mutant {
    applying(id, sentence, kills: kills, symptom: symptom) { applier in
      applier.onApply = { base, layer, content, mounts, options in
        if refused(layer.mediaType) { throw ContainerdError.notImplemented("media type \(layer.mediaType)") }
        return try await base.apply(layer, from: content, to: mounts, options: options)
      }
    }
  }
}

/// Of gzip of stored blocks the first member, of anything else everything.
private func firstMember(of bytes: [UInt8]) -> [UInt8] {
  guard bytes.starts(with: [0x1f, 0x8b]) else { return bytes }
  var place = 10
  if bytes[3] & 8 != 0 { place = (bytes[place...].firstIndex(of: 0) ?? place) + 1 }
  while place + 5 <= bytes.count {
    let (last, length) = (bytes[place] & 1 == 1, Int(bytes[place + 1]) | Int(bytes[place + 2]) << 8)
    place += 5 + length
    if last { return Array(bytes.prefix(place + 8)) }
  }
  return bytes
}
