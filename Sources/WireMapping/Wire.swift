import ContainerdAPI
import Protocols
import SwiftProtobuf

// Values on the wire and ours, one pair of conversions each.

extension Timestamp {
  package init(wire: Google_Protobuf_Timestamp) { self.init(seconds: wire.seconds, nanoseconds: wire.nanos) }
  package var wire: Google_Protobuf_Timestamp { Google_Protobuf_Timestamp(seconds: seconds, nanos: nanoseconds) }
}

extension TypedValue {
  package init(wire: Google_Protobuf_Any) { self.init(typeURL: wire.typeURL, value: [UInt8](wire.value)) }
  package var wire: Google_Protobuf_Any {
    var any = Google_Protobuf_Any()
    any.typeURL = typeURL
    any.value.append(contentsOf: value)
    return any
  }
}

extension Descriptor {
  package init(wire: Containerd_Types_Descriptor) throws {
    self.init(mediaType: wire.mediaType, digest: try Digest(parsing: wire.digest), size: wire.size, annotations: wire.annotations)
  }
  package var wire: Containerd_Types_Descriptor {
    .with {
      $0.mediaType = mediaType
      $0.digest = digest.description
      $0.size = size
      $0.annotations = annotations
    }
  }
}

extension Mount {
  package init(wire: Containerd_Types_Mount) { self.init(type: wire.type, source: wire.source, target: wire.target, options: wire.options) }
  package var wire: Containerd_Types_Mount {
    .with {
      $0.type = type
      $0.source = source
      $0.target = target
      $0.options = options
    }
  }
}

extension FieldMask {
  package init(wire: Google_Protobuf_FieldMask) { self.init(wire.paths) }
}

/// Empty text stands for "none" on the wire.
package func optional(_ text: String) -> String? { text.isEmpty ? nil : text }
package func optionalDigest(_ text: String) throws -> Digest? { text.isEmpty ? nil : try Digest(parsing: text) }

/// How many infos one message of a list stream carries.
package let listBatch = 100

extension Array {
  package func batches(of size: Int) -> [ArraySlice<Element>] {
    stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
  }
}
