import BlockingIO
import FoundationEssentials
import Protocols
import SystemKit

/// What another process can be asked to do, in words that pass between two processes of one program.
public protocol DetachedWork: Codable, Sendable {
  associatedtype Outcome: Codable, Sendable
  /// What the other process is told to do.
  static var name: String { get }
  /// What it is done to, for messages.
  var subject: String { get }
  /// How many bytes are read for it, about: it may take longer accordingly.
  var bytes: Int64 { get }
  /// Whether it takes the time only that nobody else wants, which may be little for long.
  static var isIdle: Bool { get }
}

extension DetachedWork {
  public static var isIdle: Bool { false }
}

/// Work that this process could do as well.
public protocol LocalWork: DetachedWork {
  /// Blocking.
  func perform() throws -> Outcome
}

/// The outcome of work that leaves something on disk, and nothing to tell.
public struct Done: Codable, Sendable {
  public init() {}
}

/// Where work is done that leaves a large heap behind, or must be in nobody's way: a child process, which is gone when it is done.
///
/// A child that crashes, hangs or talks nonsense is an error of the one call, and says why. Safe from any thread; calls block.
public struct WorkPlace: Sendable {
  private let command: [String]?
  private let patience: Duration
  /// What is read in a second at least: slow disks, and others who want them.
  private static let slowest: Int64 = 1 << 20

  /// - Parameters:
  ///   - command: starts a child; the name of the work follows, and the work (`WorkAnswer`).
  ///   - patience: how long a child may take, besides what it takes to read.
  public init(command: [String], patience: Duration = .seconds(120)) {
    self.command = command
    self.patience = patience
  }

  private init() {
    command = nil
    patience = .zero
  }

  /// This process.
  public static let here = WorkPlace()

  /// Has it done by a child, or does it where there is none. Errors as the work's; `internalError` for a child that does not answer, `deadlineExceeded` for one
  /// that does not in time.
  public func run<Work: LocalWork>(_ work: Work) throws -> Work.Outcome {
    command == nil ? try work.perform() : try ask(work)
  }

  /// Has it done by a child. Errors as of `run`; `notImplemented` where there is none.
  public func ask<Work: DetachedWork>(_ work: Work) throws -> Work.Outcome {
    guard let command else { throw ContainerdError.notImplemented("\(work.subject): there is no process for it") }
    let words = command + [Work.name, String(decoding: try JSONEncoder().encode(work), as: UTF8.self)]
    let time = (patience + .seconds(work.bytes / Self.slowest)) * (Work.isIdle ? 10 : 1)
    let (end, output): (BriefProcess.End, [UInt8])
    do { (end, output) = try BriefProcess.run(words, deadline: time) } catch {
      throw ContainerdError(error, "\(work.subject): a process for it")
    }
    let how: String
    switch end {
    case .exited(0):
      guard let answer = try? JSONDecoder().decode(WorkAnswer<Work.Outcome>.self, from: Data(output)) else {
        throw ContainerdError.internalError("\(work.subject): the process for it has answered \"\(Self.excerpt(output))\"")
      }
      return try answer.get()
    case .exited(let status): how = "has ended with status \(status)"
    case .killed(let signal): how = "was ended by signal \(signal)"
    case .talkative: how = "had too much to say"
    case .late: throw ContainerdError(.deadlineExceeded, "\(work.subject): the process for it had not ended after \(time), and was killed")
    }
    throw ContainerdError.internalError("\(work.subject): the process for it \(how)")
  }

  private static func excerpt(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(100), as: UTF8.self) }
}

/// What a child says of its work.
public struct WorkAnswer<Outcome: Codable & Sendable>: Codable, Sendable {
  private var outcome: Outcome?
  private var code: String?
  private var message: String?

  /// For the child: does what it is told to, and says it as it is understood.
  public static func to<Work: DetachedWork>(_ text: String, as type: Work.Type, perform: (Work) async throws -> Outcome) async throws -> [UInt8]
  where Work.Outcome == Outcome {
    let work = try JSONDecoder().decode(Work.self, from: Data(text.utf8))
    var answer = WorkAnswer(outcome: nil, code: nil, message: nil)
    do { answer.outcome = try await perform(work) } catch {
      let cause: ContainerdError =
        switch error {
        case let error as ContainerdError: error
        case let error as SystemError: ContainerdError(error, work.subject)
        default: ContainerdError(.unknown, "\(work.subject): \(error)")
        }
      (answer.code, answer.message) = (cause.code.rawValue, cause.message)
    }
    return Array(try JSONEncoder().encode(answer))
  }

  fileprivate func get() throws(ContainerdError) -> Outcome {
    if let outcome { return outcome }
    throw ContainerdError(code.flatMap(ContainerdError.Code.init) ?? .unknown, message ?? "no answer")
  }
}

/// The work that is done to layers, for a child's main program.
public enum LayerWork {
  /// The one for which nobody waits.
  public static let verification = LayerVerification.name

  /// nil for other work.
  public static func answer(to name: String, _ text: String) async throws -> [UInt8]? {
    func answer<Work: LocalWork>(_ type: Work.Type) async throws -> [UInt8] {
      try await WorkAnswer.to(text, as: type) { work in try await DedicatedThread.run { try work.perform() } }
    }
    return switch name {
    case ReadyIndexWork.name: try await answer(ReadyIndexWork.self)
    case LayerVerification.name: try await answer(LayerVerification.self)
    default: nil
    }
  }
}
