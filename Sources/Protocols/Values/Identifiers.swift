/// Names that become path components or keys: namespaces, container and exec ids.
///
/// Letters and digits, with single `.`, `_` or `-` runs between them, at most 76 characters (containerd, package identifiers).
public enum Identifiers {
  public static let maximumLength = 76

  /// Throws `invalidArgument` naming the kind ("namespace", "container id") and the text.
  public static func validate(_ text: String, kind: String) throws(ContainerdError) {
    if text.isEmpty { throw .invalidArgument("\(kind) must not be empty") }
    if text.utf8.count > maximumLength {
      throw .invalidArgument("\(kind) \"\(text.prefix(80))\" is longer than \(maximumLength) characters")
    }
    var previousWasLetter = false
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: previousWasLetter = true
      case let separator where previousWasLetter && [0x2d, 0x2e, 0x5f].contains(separator): previousWasLetter = false
      default: throw .invalidArgument("\(kind) \"\(text)\" must be letters and digits separated by single '.', '_' or '-'")
      }
    }
    if !previousWasLetter { throw .invalidArgument("\(kind) \"\(text)\" must end with a letter or digit") }
  }
}

/// Whose objects a call is about, and which lease holds what it makes.
public struct Scope: Hashable, Sendable {
  public var namespace: String
  /// Everything that the call creates or touches is added to this lease in the same transaction. Where there is no
  /// such lease it is `notFound`, and nothing is made.
  public var lease: String?

  public init(namespace: String, lease: String? = nil) {
    self.namespace = namespace
    self.lease = lease
  }
}

/// A serialised value and the name of its type; the wire's `Any` with containerd's bare type URL.
public struct TypedValue: Hashable, Sendable {
  public var typeURL: String
  public var value: [UInt8]
  public init(typeURL: String, value: [UInt8]) {
    self.typeURL = typeURL
    self.value = value
  }
}
