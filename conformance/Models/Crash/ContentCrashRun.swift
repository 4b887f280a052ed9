import ConformanceSuites
import Protocols
import Synchronization

/// A content store whose process is ended now and then, beside the states in which it may be.
struct ContentCrashRun {
  let subject: RestartContentSubject
  let attempt: Attempt
  private var states: PossibleStates<ContentModel>
  /// What is most likely there.
  var model: ContentModel { states.likely }
  private let driver: ContentDriver
  private let current = CurrentContent()
  /// Writers below this number are of processes that have ended.
  private(set) var firstWriter = 0
  private(set) var nextWriter = 0

  enum Fate { case answered, interrupted }

  init(_ subject: RestartContentSubject, _ attempt: Attempt) {
    self.subject = subject
    self.attempt = attempt
    states = PossibleStates(ContentModel(subject.rules))
    driver = ContentDriver(ContentSubject(store: current) { bytes, _ in subject.digest(bytes) })
  }

  /// The writers of the process that runs now.
  var writers: Set<Int> { Set(firstWriter..<max(nextWriter, firstWriter)) }

  func start(_ start: BackendStart = .plain) async throws -> Bool {
    do { try await subject.process.start(start) } catch let refused as StartRefused {
      if start.crash != nil, refused.end == .killed(by: 9) { return false }
      throw Finding(kind: "start", what: "the start of the backend", expected: "it serves", actual: "\(refused)")
    }
    do { current.set(try await subject.open()) } catch {
      // It may die of the first call already.
      guard start.crash != nil, try await subject.process.ended(within: 3) != nil else { throw error }
      return false
    }
    return true
  }

  mutating func step(_ operation: ContentOperation) async throws -> Fate {
    attempt.does(operation.description, command: operation.command)
    if case .open(let number, _, _, _) = operation { nextWriter = max(nextWriter, number + 1) }
    let came: Came<ContentAnswer>
    do { came = try await driver.perform(operation) } catch let finding as Finding { throw finding } catch {
      guard try await subject.process.ended(within: 5) != nil else { throw error }
      attempt.came("the backend was killed over it")
      return .interrupted
    }
    if case .failure(let code, _) = came, try await died(code) {
      attempt.came("the backend was killed over it")
      return .interrupted
    }
    attempt.came("\(came)")
    if let expected = states.follow(operation, came) {
      throw Finding(kind: operation.verb, what: operation.description, expected: expected, actual: "\(came)")
    }
    return .answered
  }

  private func died(_ code: ContainerdError.Code) async throws -> Bool {
    let ofConnections: Set<ContainerdError.Code> = [.unavailable, .unknown, .internalError, .canceled]
    return try await subject.process.ended(within: ofConnections.contains(code) ? 3 : 0) != nil
  }

  /// Starts a process that has ended, and finds out what is there. False if it died again on the way, as it was told to.
  mutating func recover(from operation: ContentOperation?, at place: String, _ start: BackendStart = .plain) async throws -> Bool {
    attempt.does(start.crash.map { "start it again, to die at \($0)" } ?? "start it again")
    await driver.end()
    firstWriter = nextWriter
    guard try await self.start(start) else {
      attempt.came("killed on the way")
      return false
    }
    try await settle(operation, place)
    return true
  }

  private mutating func settle(_ operation: ContentOperation?, _ place: String) async throws {
    var allowed: [ContentModel] = []
    for state in states.all { for next in self.allowed(operation, from: state) where !allowed.contains(next) { allowed.append(next) } }
    // At most so long may a backend be putting things in order after its start.
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while true {
      let blobs = try await driver.perform(.walk([]))
      let ingests = try await driver.perform(.statuses)
      let found = allowed.filter { blobs == .answer(.blobs($0.allBlobs)) && ingests == .answer(.ingests($0.allIngests)) }
      if !found.isEmpty {
        states = PossibleStates(anyOf: found)
        break
      }
      if ContinuousClock.now > deadline {
        throw Finding(
          kind: "after the kill", what: "what is there after a kill at \(place)\(operation.map { " during \($0)" } ?? "")",
          expected: Set(allowed.map { "\(ContentAnswer.blobs($0.allBlobs)), \(ContentAnswer.ingests($0.allIngests))" }).sorted().joined(separator: ", or "),
          actual: "\(blobs), \(ingests)")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    for blob in model.blobs.keys.sorted() { try await whole(blob, place) }
    for ref in model.ingests.keys.sorted() {
      let came = try await driver.perform(.status(ref))
      if let expected = states.follow(.status(ref), came) {
        throw Finding(kind: "status", what: "status of \"\(ref)\" after a kill at \(place)", expected: expected, actual: "\(came)")
      }
    }
  }

  private func whole(_ blob: String, _ place: String) async throws {
    let came = try await driver.perform(.read(blob, at: 0, count: blob.utf8.count + 10))
    if came != .answer(.bytes(blob)) {
      throw Finding(kind: "bytes", what: "the bytes of the blob \"\(blob)\" after a kill at \(place)", expected: "\"\(blob)\"", actual: "\(came)")
    }
  }

  /// What may be there after the operation was interrupted in a state.
  private func allowed(_ operation: ContentOperation?, from model: ContentModel) -> [ContentModel] {
    let before = model.afterTheEnd
    guard let operation else { return [before] }
    let outcomes = model.outcomes(of: operation)
    var allowed = outcomes.map(\.next.afterTheEnd) + [before]
    if !outcomes.contains(where: { if case .answer = $0.expected { true } else { false } }) { return allowed }
    switch operation {
    case .write(let writer, let text, _):
      guard let ref = model.held(writer) else { break }
      for count in 1..<max(text.count, 1) { allowed.append(before.with(ref, followedBy: String(text.prefix(count)))) }
    case .commit(let writer, _, _, _):
      // The bytes may be on their way from the one to the other: then they are uploaded again.
      guard let ref = model.held(writer) else { break }
      allowed.append(before.without(ref))
    case .open(_, let ref, _, _): allowed.append(before.without(ref))
    default: break
    }
    return allowed
  }

  /// Nothing is left once everything is let go of.
  mutating func removeEverything() async throws {
    for ref in model.ingests.keys.sorted() { try await must(.abort(ref)) }
    for blob in model.blobs.keys.sorted() { try await must(.delete(blob)) }
    try await must(.walk([]))
    try await must(.statuses)
  }

  mutating func must(_ operation: ContentOperation) async throws {
    if try await step(operation) == .interrupted {
      throw Finding(kind: "died", what: operation.description, expected: "an answer", actual: "the backend ended: \(await subject.process.said())")
    }
  }

  /// Uploads a blob whatever there is of it: what a client does that was interrupted.
  mutating func upload(_ blob: String, ref: String, labels: Labels) async throws {
    if model.blobs[blob] != nil { return }
    let writer = nextWriter
    try await must(.open(writer, ref: ref, size: nil, blob: nil))
    let have = model.ingests[ref]?.bytes ?? ""
    if !blob.hasPrefix(have) { try await must(.startOver(writer)) }
    let rest = String(blob.dropFirst((model.ingests[ref]?.bytes ?? "").count))
    if !rest.isEmpty { try await must(.write(writer, rest, at: Int64(blob.utf8.count - rest.utf8.count))) }
    try await must(.commit(writer, size: nil, blob: blob, labels))
    // With these labels and no others.
    try await must(.walk([]))
  }
}

/// Whichever store is the present one.
private final class CurrentContent: ContentStore {
  private let held = Mutex<(any ContentStore)?>(nil)
  func set(_ store: any ContentStore) { held.withLock { $0 = store } }
  private var base: any ContentStore {
    get throws {
      guard let base = held.withLock({ $0 }) else { throw SuiteError("no backend was started") }
      return base
    }
  }

  func reader(_ digest: Digest) async throws -> any ContentReader { try await base.reader(digest) }
  func info(_ digest: Digest) async throws -> ContentInfo { try await base.info(digest) }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo { try await base.update(info, fields: fields) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  func delete(_ digest: Digest) async throws { try await base.delete(digest) }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter { try await base.writer(ref: ref, expected: expected) }
  func status(ref: String) async throws -> IngestStatus { try await base.status(ref: ref) }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] { try await base.statuses(filters) }
  func abort(ref: String) async throws { try await base.abort(ref: ref) }
}
