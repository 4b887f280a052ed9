import LayerIndex
import Protocols

/// How layers are loaded.
public struct LayerPolicy: Sendable {
  /// How long a reader waits before the read is an error (EIO), while fetching is tried again and again.
  public var deadline: Duration
  /// The pause after a failure; it doubles, up to the longest.
  public var firstPause: Duration
  public var longestPause: Duration
  /// Runs of spans that are fetched at a time for those who wait, per layer.
  public var runs: Int
  /// Bytes of the blob that one request asks for at most, for those who wait and in the background. A single span may be longer.
  public var urgentBytes: Int64
  public var backgroundBytes: Int64
  /// Whether layers are filled while nobody waits for anything, and how long after the last wait that begins.
  public var fillsInBackground: Bool
  public var quiet: Duration
  /// Whether what an earlier start needed first is fetched as soon as there is a mount.
  public var replaysAccesses: Bool
  /// For how long after a mount it is written down what is needed first, and how often.
  public var recording: Duration
  public var recordPause: Duration
  /// After which a layer is checked again that could not be.
  public var checkPause: Duration
  /// Spans of a layer that are written down at most.
  public var mostRecorded: Int

  public init(
    deadline: Duration = .seconds(60), firstPause: Duration = .milliseconds(200), longestPause: Duration = .seconds(5), runs: Int = 4,
    urgentBytes: Int64 = 4 << 20, backgroundBytes: Int64 = 4 << 20, fillsInBackground: Bool = true, quiet: Duration = .milliseconds(500),
    replaysAccesses: Bool = true, recording: Duration = .seconds(120), recordPause: Duration = .seconds(5), checkPause: Duration = .seconds(60),
    mostRecorded: Int = AccessList.most
  ) {
    self.deadline = deadline
    self.firstPause = firstPause
    self.longestPause = longestPause
    self.runs = max(1, runs)
    self.urgentBytes = urgentBytes
    self.backgroundBytes = backgroundBytes
    self.fillsInBackground = fillsInBackground
    self.quiet = quiet
    self.replaysAccesses = replaysAccesses
    self.recording = recording
    self.recordPause = recordPause
    self.checkPause = checkPause
    self.mostRecorded = min(mostRecorded, AccessList.most)
  }
}

/// A failure that will not pass by waiting: it is told after it came a few times, not after the deadline.
extension ContainerdError {
  var patience: Int {
    switch code {
    case .dataLoss: 3
    case .notFound, .permissionDenied, .unauthenticated, .outOfRange, .failedPrecondition, .invalidArgument, .notImplemented: 2
    default: .max
    }
  }
}
