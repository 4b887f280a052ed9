/// Why bytes are not the message or the frame they should be.
public enum WireError: Error, Hashable, Sendable {
  /// The bytes end in the middle of a field.
  case truncated
  /// A variable-length integer of more than ten bytes.
  case varintTooLong
  /// Field number 0 or one above 2^29 - 1.
  case badFieldNumber
  /// Groups, and the two wire types that do not exist.
  case badWireType(UInt8)
  /// A string that is not UTF-8.
  case notUTF8
}
