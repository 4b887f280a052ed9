import Protocols
import Synchronization
import SystemKit

/// What the kernel asks for.
struct RequestedRead: Sendable {
  var device: Int32
  /// Of the request.
  var number: UInt64
  /// Who reads; 0 where that is not known.
  var thread: UInt32
  var node: Int
  /// Bytes of the file.
  var wanted: Range<Int64>
}

/// Reads that failed, and that the kernel asks for once more.
///
/// What the kernel wanted to read ahead and was not given, it asks for again, a page alone, for every thread that waits for such a page (mm/filemap.c,
/// filemap_read_folio). To the thread that is one read, so it has one deadline: that of the read that failed. A page that failed alone is not asked for again;
/// a thread that comes back for it has been told, and is a new read.
///
/// A union (CUnion) that stands on this mount reads by whichever of its threads is free: they are one reader here. Its own kernel asks it twice in the same way, so
/// that it comes back twice for what is one read. For whom it comes back once more nobody knows: that one waits a little. Safe from any thread.
final class RepeatedReads: Sendable {
  fileprivate struct Failure {
    var node: Int
    var range: Range<Int64>
    var error: ContainerdError
    var deadline: ContinuousClock.Instant
    var time: ContinuousClock.Instant
    /// Who was told by now, and how often.
    var told: [Reader: Int]
  }

  enum Reader: Hashable {
    case thread(UInt32)
    case union

    fileprivate var most: Int { self == .union ? 2 : 1 }
  }

  private let reader: @Sendable (UInt32) -> Reader

  /// - Parameter reader: who it is that a thread reads for.
  init(reader: @escaping @Sendable (UInt32) -> Reader = RepeatedReads.reader) { self.reader = reader }

  /// By the name that a union gives its threads. One that has ended meanwhile has none, and is no union's.
  @Sendable static func reader(_ thread: UInt32) -> Reader {
    (try? Files.read("/proc/\(thread)/comm", limit: 64)) == Array("ref-union\n".utf8) ? .union : .thread(thread)
  }
  private let failures = Mutex<[Failure]>([])
  /// For how long after a failure the kernel may be expected to ask again.
  static let window = Duration.milliseconds(100)
  /// How long a union waits that may have been told, or may be somebody who has not been.
  static let unionPatience = Duration.seconds(2)
  /// The oldest are forgotten: their pages are new again, and a read of them waits twice at worst.
  private static let most = 256
  private static let page = 4096

  /// The read that failed, whose second asking this is; nil if it is a read of its own.
  func first(of read: RequestedRead, at now: ContinuousClock.Instant = .now) -> (error: ContainerdError, deadline: ContinuousClock.Instant)? {
    failures.withLock { failures in
      guard let number = failures.lastIndex(where: { $0.holds(read) }), now - failures[number].time <= Self.window else { return nil }
      let reader = reader(read.thread)
      let told = failures[number].told[reader, default: 0]
      if told == reader.most {
        // Another of those who read through the union, or the next read of the same one.
        return reader == .union ? (failures[number].error, now + Self.unionPatience) : nil
      }
      failures[number].told[reader] = told + 1
      return (failures[number].error, failures[number].deadline)
    }
  }

  private func told(_ read: RequestedRead) -> [Reader: Int] {
    let reader = reader(read.thread)
    return [reader: reader.most]
  }

  /// To be called before the kernel is told.
  func failed(_ read: RequestedRead, _ error: ContainerdError, deadline: ContinuousClock.Instant, at now: ContinuousClock.Instant = .now) {
    failures.withLock { failures in
      // The page was there already when this was asked, or it would not have been asked for alone.
      let isAlone = read.wanted.count <= Self.page && failures.contains { $0.holds(read) }
      failures.removeAll { $0.node == read.node && read.wanted.lowerBound <= $0.range.lowerBound && $0.range.upperBound <= read.wanted.upperBound }
      failures.append(
        Failure(node: read.node, range: read.wanted, error: error, deadline: deadline, time: now, told: isAlone ? told(read) : [:]))
      if failures.count > Self.most { failures.removeFirst() }
    }
  }
}

extension RepeatedReads.Failure {
  fileprivate func holds(_ read: RequestedRead) -> Bool {
    node == read.node && range.lowerBound <= read.wanted.lowerBound && read.wanted.upperBound <= range.upperBound
  }
}
