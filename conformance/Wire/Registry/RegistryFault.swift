import ConformanceModels
import ConformanceSuites
import Protocols

/// A fault that a registry shows for some of its answers, as a value.
struct RegistryFault: Hashable, Sendable, CustomStringConvertible {
  enum Place: Hashable, Sendable, CustomStringConvertible {
    case manifest
    case config
    case layer(Int)
    case token
    var description: String {
      switch self {
      case .manifest: "the manifest"
      case .config: "the config"
      case .layer(let number): "layer \(number + 1)"
      case .token: "the token"
      }
    }
  }
  /// Where in the body something happens: sixteenths of its length.
  typealias Part = Int

  enum Kind: Hashable, Sendable, CustomStringConvertible {
    /// The connection ends in the middle: with FIN, or with RST.
    case cut(Part, reset: Bool)
    /// Nothing more comes, and the connection stays.
    case silence(Part)
    /// An error, and perhaps when to come back.
    case status(Int, retryAfter: Int?)
    /// The token that was good so far is not any more.
    case expired
    /// To the same bytes at another address.
    case redirect
    case slow
    /// Everything, where a part was asked for.
    case wholeForPart
    /// Another part than the one that was asked for, told truly.
    case otherPart
    /// The part that was asked for by its header, and another by its bytes.
    case falsePart
    /// One byte is another.
    case wrongByte(Part)
    /// Shorter than the descriptor says, with an honest length.
    case short(Part)
    /// A body without a length, which ends early.
    case unsized(Part)
    /// Longer than the descriptor says.
    case longer
    /// A length in the header that is more, or less, than what comes.
    case lengthTooLarge
    case lengthTooSmall
    /// A page in HTML, and 200.
    case page
    /// The digest of something else in the header.
    case wrongDigestHeader

    var description: String {
      switch self {
      case .cut(let part, let reset): "\(reset ? "reset" : "cut") after \(part)/16"
      case .silence(let part): "silence after \(part)/16"
      case .status(let code, let after): "\(code)\(after.map { " with Retry-After: \($0)" } ?? "")"
      case .expired: "401, as for a token that has expired"
      case .redirect: "a redirect"
      case .slow: "slowness"
      case .wholeForPart: "everything where a part was asked for"
      case .otherPart: "another part than was asked for"
      case .falsePart: "another part under the header of the right one"
      case .wrongByte(let part): "a wrong byte at \(part)/16"
      case .short(let part): "an end at \(part)/16, with that length"
      case .unsized(let part): "no length, and an end at \(part)/16"
      case .longer: "more bytes than the descriptor says"
      case .lengthTooLarge: "a length that is too large"
      case .lengthTooSmall: "a length that is too small"
      case .page: "a page in HTML"
      case .wrongDigestHeader: "the digest of something else in the header"
      }
    }
  }

  var place: Place
  var kind: Kind
  /// The first request for the place that it strikes, counted from 1, and how many; 0 for all from there on.
  var first = 1
  var times = 1

  var description: String {
    let when =
      times == 0 ? (first == 1 ? "always" : "from request \(first) on") : times == 1 ? "for request \(first)" : "for requests \(first) to \(first + times - 1)"
    return "\(kind) for \(place), \(when)"
  }

  func strikes(_ number: Int) -> Bool { number >= first && (times == 0 || number < first + times) }

  /// Whether a client has nothing to find it out by: a manifest that is asked for by its tag may be any manifest, and a client that goes by the header's
  /// digest must compare it, but none must go by it (DS-10).
  func isAnotherImage(for request: RegistryRequest) -> Bool {
    guard case .manifest(let reference) = request.kind, !reference.contains(":") else { return false }
    return switch kind {
    case .wrongByte, .longer: true
    default: false
    }
  }

  /// What the registry answers instead.
  func changed(_ usual: RegistryReply, _ request: RegistryRequest, _ registry: FaultyRegistry) -> RegistryReply {
    var reply = usual
    let count = reply.body.count
    func at(_ part: Part) -> Int { min(max(count - 1, 0), count * part / 16) }
    switch kind {
    case .cut(let part, let reset): (reply.cutAfter, reply.reset) = (at(part), reset)
    case .silence(let part): reply.stallAfter = at(part)
    case .status(let code, let after):
      reply = .error(code, code == 429 ? "TOOMANYREQUESTS" : "UNAVAILABLE", after.map { [("Retry-After", "\($0)")] } ?? [])
    case .expired: reply = Self.challenge(registry, #",error="invalid_token""#)
    case .redirect where !request.target.hasPrefix("/elsewhere"):
      if case .blob(let digest) = request.kind { reply = .redirect(to: "http://\(registry.host)/elsewhere/\(digest)") }
    case .redirect: break
    case .slow: reply.pace = (max(1, count / 5), 15)
    case .wholeForPart:
      var plain = request
      plain.headers["range"] = nil
      reply = registry.usual(plain)
    case .otherPart, .falsePart:
      guard reply.status == 206, request.start + 7 < request.start + count else { break }
      let total = request.start + count
      let start = kind == .otherPart ? request.start + 7 : request.start
      reply.body = kind == .otherPart ? Array(reply.body.dropFirst(7)) : Array(reply.body.dropFirst(7)) + [UInt8](repeating: 0, count: 7)
      reply.setHeader("Content-Range", "bytes \(start)-\(total - 1)/\(total)")
    case .wrongByte(let part): if count > 0 { reply.body[at(part)] ^= 1 }
    case .short(let part): reply.body = Array(reply.body.prefix(at(part)))
    case .unsized(let part):
      reply.body = Array(reply.body.prefix(at(part)))
      reply.length = .untilClose
    case .longer: reply.body += [UInt8](repeating: 0, count: 3000)
    case .lengthTooLarge: reply.length = .claimed(count + 500)
    case .lengthTooSmall: reply.length = .claimed(max(0, count - 100))
    case .page: reply = .text(200, "text/html", "<html><body>Please sign in</body></html>")
    case .wrongDigestHeader: reply.setHeader("Docker-Content-Digest", "sha256:" + String(repeating: "0", count: 64))
    }
    return reply
  }

  static func challenge(_ registry: FaultyRegistry, _ error: String = "") -> RegistryReply {
    .error(
      401, "UNAUTHORIZED",
      [("WWW-Authenticate", #"Bearer realm="http://\#(registry.host)/token",service="case-registry",scope="repository:case/image:pull"\#(error)"#)])
  }
}

extension RegistryFault {
  /// A fault by chance; the first of each choice is the simplest.
  static func draw(_ attempt: Attempt, layers: Int, silence: Bool) -> RegistryFault {
    let place = attempt.weighted(
      (0..<layers).map { (4, Place.layer($0)) } + [(2, .config), (2, .manifest), (1, .token)])
    let part = attempt.draw(16)
    var kinds: [(Int, Kind)] = [
      (6, .cut(part, reset: false)), (4, .cut(part, reset: true)), (2, .status(503, retryAfter: nil)), (1, .status(500, retryAfter: nil)),
      (1, .status(502, retryAfter: nil)), (2, .status(429, retryAfter: 0)), (1, .status(429, retryAfter: 1)), (1, .status(404, retryAfter: nil)),
      (2, .expired), (2, .slow), (3, .wrongByte(part)), (2, .short(part)), (2, .unsized(part)), (2, .longer), (2, .lengthTooLarge), (2, .lengthTooSmall),
      (1, .page), (1, .wrongDigestHeader),
    ]
    if case .layer = place { kinds += [(2, .redirect), (4, .wholeForPart), (3, .otherPart), (3, .falsePart)] }
    if silence { kinds.append((1, .silence(part))) }
    let kind = attempt.weighted(kinds)
    var fault = RegistryFault(place: place, kind: kind)
    switch kind {
    // Of use where a part is asked for: after a transfer that broke.
    case .wholeForPart, .otherPart, .falsePart: fault.times = attempt.one(of: [0, 1, 2])
    // Every silence costs its time.
    case .silence: break
    default:
      fault.first = attempt.weighted([(6, 1), (3, 2), (1, 3)])
      fault.times = attempt.weighted([(6, 1), (2, 2), (3, 0)])
    }
    return fault
  }
}
