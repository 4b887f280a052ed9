import NIOHTTP1
import Synchronization

/// What was asked of the registry, and how much of the answer left it.
public struct AccessRecord: Hashable, Sendable, CustomStringConvertible {
  /// The connection that it came over, counted from 0.
  public var connection: Int
  public var method: String
  /// Path and query, as sent.
  public var path: String
  public var range: String?
  public var accept: [String]
  /// The scheme of the `Authorization` header, never its secret.
  public var authorization: String?
  public var userAgent: String?
  /// 0 until the answer begins.
  public var status: Int
  /// Bytes of the body handed to the connection so far.
  public var bytesSent: Int64
  /// Whether the whole answer left.
  public var isComplete: Bool

  /// `GET /v2/app/blobs/sha256:… range=bytes=100- status=206 sent=4096 complete`
  public var description: String {
    "\(method) \(path)" + (range.map { " range=\($0)" } ?? "") + " status=\(status) sent=\(bytesSent) \(isComplete ? "complete" : "broken")"
  }
}

/// The requests of a registry's life, the latest `limit` of them.
public final class AccessLog: Sendable {
  final class Entry: Sendable {
    let record: Mutex<AccessRecord>
    init(_ record: AccessRecord) { self.record = Mutex(record) }
    var value: AccessRecord { record.withLock { $0 } }
  }

  private let limit: Int
  private let entries = Mutex<[Entry]>([])

  init(limit: Int) { self.limit = limit }

  /// In the order in which they arrived; those under way are among them.
  public var records: [AccessRecord] { entries.withLock { $0 }.map(\.value) }

  /// Requests whose path ends so, a query not counted.
  public func records(endingIn suffix: String, method: String? = nil) -> [AccessRecord] {
    records.filter { ($0.path.split(separator: "?").first ?? "").hasSuffix(suffix) && (method == nil || $0.method == method) }
  }

  public func clear() { entries.withLock { $0 = [] } }

  func begin(_ head: HTTPRequestHead, connection: Int) -> Entry {
    let entry = Entry(
      AccessRecord(
        connection: connection, method: head.method.rawValue, path: head.uri, range: head.headers.first(name: "Range"), accept: head.headers["Accept"],
        authorization: head.headers.first(name: "Authorization")?.split(separator: " ").first.map(String.init),
        userAgent: head.headers.first(name: "User-Agent"), status: 0, bytesSent: 0, isComplete: false))
    entries.withLock { entries in
      entries.append(entry)
      // Dropped in bulk, so that a long life costs little.
      if entries.count > 2 * limit { entries.removeFirst(entries.count - limit) }
    }
    return entry
  }
}
