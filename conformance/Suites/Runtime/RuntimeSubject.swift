import Protocols

/// A runtime without tasks, and programs to run on it.
public struct RuntimeSubject: Sendable {
  /// What a process does.
  public enum Program: Sendable {
    /// Nothing, until a signal ends it.
    case waits
    /// Exits by itself, at once.
    case exits(UInt32)
  }

  public var runtime: any Runtime
  /// How a container with this program is made. Each id is used once per case.
  public var creation: @Sendable (_ id: String, _ program: Program) throws -> TaskCreation
  public var exec: @Sendable (_ container: String, _ id: String, _ program: Program) throws -> ExecCreation
  /// Every envelope that the runtime has published so far; nil where that cannot be read.
  public var published: (@Sendable () -> [EventEnvelope])?
  public var keep: (any Sendable)?

  public init(
    runtime: any Runtime, keep: (any Sendable)? = nil, published: (@Sendable () -> [EventEnvelope])? = nil,
    creation: @escaping @Sendable (String, Program) throws -> TaskCreation,
    exec: @escaping @Sendable (String, String, Program) throws -> ExecCreation
  ) {
    self.runtime = runtime
    self.published = published
    self.keep = keep
    self.creation = creation
    self.exec = exec
  }

  package func create(_ id: String = "a", _ program: Program = .waits) async throws -> any ContainerTask { try await runtime.create(creation(id, program)) }

  package func started(_ id: String = "a", _ program: Program = .waits) async throws -> any ContainerTask {
    let task = try await create(id, program)
    _ = try await task.start(exec: nil)
    return task
  }

  /// Ends what runs, waits for the end, and deletes.
  package func end(_ task: any ContainerTask) async throws {
    do { try await task.kill(exec: nil, signal: 9, all: true) } catch let error as ContainerdError where error.code == .notFound {}
    _ = try await inTime("the end of task \(task.id)") { try await task.wait(exec: nil) }
    _ = try await task.delete(exec: nil)
  }

  package func expectStatus(_ task: any ContainerTask, exec: String? = nil, _ status: ProcessStatus) async throws {
    try expectEqual(try await task.state(exec: exec).status, status, "status of \(exec ?? "the init")")
  }
}

/// The contracts of `Runtime` and `ContainerTask`: the state machine of a container.
public enum RuntimeSuite {
  public static let cases = lifecycle + ends + execs + control
}
