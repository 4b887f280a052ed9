import FoundationEssentials

/// SwiftProtobuf keeps `bytes` fields as Foundation's `Data`; everything else here uses arrays.
enum Bytes {
  static func data(_ bytes: [UInt8]) -> Data { Data(bytes) }
}
