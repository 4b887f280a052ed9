import SwiftProtobuf

extension Google_Protobuf_Any {
  /// Packs a message the way containerd's clients expect: the bare type name, without `type.googleapis.com/`.
  public static func bare(_ message: some Message) throws -> Google_Protobuf_Any {
    var any = Google_Protobuf_Any()
    any.typeURL = type(of: message).protoMessageName
    any.value = try message.serializedBytes()
    return any
  }

  /// The type name, whatever prefix the sender put before it.
  public var bareTypeName: String {
    typeURL.split(separator: "/", maxSplits: 1).last.map { typeURL.hasPrefix("type.googleapis.com/") ? String($0) : typeURL } ?? typeURL
  }
}
