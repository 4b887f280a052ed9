import Protocols

/// A backend in a process and on a directory of its own: it can be ended in every way, and started again on what it left.
public protocol BackendProcess: Sendable {
  /// Where it keeps everything.
  var root: String { get }
  /// Whether it has named places at which it can be made to die.
  var hasFaultPlaces: Bool { get }
  /// Starts it, and waits until it serves. `StartRefused` if it ends before, or does not come so far.
  func start(_ start: BackendStart) async throws
  /// As `kill -9` does. Returns when it has ended; nothing happens where it has ended already.
  func kill() async throws
  /// As `kill` does; how it ended. nil if it still runs after so many seconds.
  func terminate(within seconds: Double) async throws -> BackendEnd?
  /// How it ended by itself. nil if it still runs after so many seconds.
  func ended(within seconds: Double) async throws -> BackendEnd?
  /// The fault places that the process has passed since it was started, in order; only of one that was started to trace them.
  func passed() async throws -> [String]
  /// The end of what it wrote to its streams.
  func said() async -> String
}

public struct BackendStart: Sendable, Hashable {
  /// Where it is to die.
  public var crash: FaultPlace?
  /// Whether it tells which fault places it passes.
  public var traces = false
  public init(crash: FaultPlace? = nil, traces: Bool = false) {
    self.crash = crash
    self.traces = traces
  }
  public static let plain = BackendStart()
}

/// A place in a backend's code where it can be made to die, and at which pass, counted from the start of its process.
public struct FaultPlace: Hashable, Sendable, CustomStringConvertible {
  public var name: String
  public var pass: Int
  public init(_ name: String, _ pass: Int = 1) {
    self.name = name
    self.pass = pass
  }
  /// The n-th place of all, whatever its name.
  public static func any(_ pass: Int) -> FaultPlace { FaultPlace("*", pass) }
  public var description: String { "\(name)#\(pass)" }

  /// Each of the names that were passed, with its number.
  package static func all(_ names: [String]) -> [FaultPlace] {
    var counts: [String: Int] = [:]
    return names.map { name in
      counts[name, default: 0] += 1
      return FaultPlace(name, counts[name, default: 1])
    }
  }
}

public enum BackendEnd: Sendable, Hashable, CustomStringConvertible {
  case exited(Int32)
  case killed(by: Int32)
  public var description: String {
    switch self {
    case .exited(let code): "exited with status \(code)"
    case .killed(let signal): "was ended by signal \(signal)"
    }
  }
}

/// The backend does not come up.
public struct StartRefused: Error, Sendable, CustomStringConvertible {
  /// How it ended; nil if it was still running, and not serving, when the time was over.
  public var end: BackendEnd?
  /// What it said.
  public var said: String
  public init(end: BackendEnd?, said: String) {
    self.end = end
    self.said = said
  }
  public var description: String {
    "the backend does not start: it \(end.map { "\($0)" } ?? "neither ends nor serves"); it said: \(said.isEmpty ? "nothing" : said)"
  }
}

extension BackendProcess {
  public func start() async throws { try await start(.plain) }

  /// Kills it and starts it again.
  package func startAgain(_ start: BackendStart = .plain) async throws {
    try await kill()
    try await self.start(start)
  }

  /// Starts it where that must succeed: after whatever happened to it before.
  package func startAfter(_ what: String, _ start: BackendStart = .plain) async throws {
    do { try await self.start(start) } catch let refused as StartRefused {
      throw Mismatch(description: "\(what): \(refused)", expected: "\(what): the backend starts", actual: "\(refused)")
    }
  }
}
