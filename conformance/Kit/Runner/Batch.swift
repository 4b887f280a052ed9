import CLinux
import ConformanceSuites
import SystemKit

/// Runs cases in a worker, one after the other, and starts another worker for the rest when one hangs or dies.
struct Batch: Sendable {
  var program: String
  var target: String
  var mutant: String?
  var seed: UInt64
  var patience: Double
  var budget: Double
  /// Seconds for one case.
  var limit: Double
  var interruption: Interruption?
  /// Told of each worker that did not end in order, by the mark of what it made, once what it left on this machine is gone.
  var untidy: (@Sendable (_ mark: String) -> Void)?

  /// Blocking. Every case has a result afterwards.
  func run(_ cases: [AnyCase], in path: String) -> [CaseResult] {
    var results: [CaseResult] = []
    var rest = cases[...]
    var round = 0
    while !rest.isEmpty {
      let before = rest.count
      results += once(&rest, in: "\(path)-\(round)")
      round += 1
      if rest.count == before, let first = rest.popFirst() {
        results.append(CaseResult(first.info, .error, detail: "no worker took the case", seed: seed))
      }
    }
    return results
  }

  private func once(_ rest: inout ArraySlice<AnyCase>, in path: String) -> [CaseResult] {
    var results: [CaseResult] = []
    let directory: CaseDirectory
    do { directory = try CaseDirectory(path) } catch { return failAll(&rest, "no directory for the case: \(error)") }
    let began = ContinuousClock.now
    var mark: String?
    do {
      var arguments = [
        "worker", "--target", target, "--directory", directory.work, "--seed", "\(seed)", "--patience", "\(patience)", "--budget", "\(budget)",
        "--limit", "\(limit)", "--runner", "\(getpid())",
      ]
      if let mutant { arguments += ["--mutant", mutant] }
      var worker = try WorkerProcess(program: program, arguments: arguments + ["--"] + rest.map(\.id), directory: directory)
      interruption?.began(worker.pid)
      var deadline = ContinuousClock.now + .seconds(limit * patience)
      var last: (steps: [Record.Step], underWay: [String])?
      reading: while true {
        switch try worker.next(before: deadline) {
        case .message(.begins):
          deadline = .now + .seconds(limit * patience)
          last = nil
        case .message(.late(let steps, let underWay)): last = (steps, underWay)
        case .message(.ended(let result)):
          guard let place = rest.firstIndex(where: { $0.id == result.id }) else { continue }
          rest.remove(at: place)
          results.append(result)
          if rest.isEmpty { break reading }
        case .silence:
          let where_ = worker.whereabouts()
          worker.kill()
          if let hung = rest.popFirst() {
            results.append(timeout(hung, last, where_))
          }
          break reading
        case .end: break reading
        }
      }
      let orderly = rest.isEmpty
      interruption?.ended(worker.pid)
      let end = worker.wait(atMost: orderly ? 10 * patience : 60)
      if let signal = end.signal, signal != SIGKILL || results.last?.outcome != .timeout, !rest.isEmpty, let died = rest.popFirst() {
        results.append(CaseResult(died.info, .crash, detail: "the case's process was ended by signal \(signal)", seconds: seconds(since: began), seed: seed))
      } else if let code = end.code, code != 0, !rest.isEmpty, let died = rest.popFirst() {
        let died = CaseResult(died.info, .error, detail: "the worker ended with status \(code): \(directory.logTail(limit: 600))", seed: seed)
        results.append(died)
      }
      if end.code != 0 { mark = Leftovers.mark(run: getpid(), worker: worker.pid) }
    } catch { results += failAll(&rest, "the worker could not be run: \(error)") }
    audit(directory, &results, mark)
    if let mark { untidy?(mark) }
    return results
  }

  /// A case that had no end: most often a call that the backend does not answer.
  private func timeout(_ hung: AnyCase, _ last: (steps: [Record.Step], underWay: [String])?, _ whereabouts: String) -> CaseResult {
    let time = "\(Int(limit * patience)) s"
    var result = CaseResult(hung.info, .timeout, seconds: limit * patience, seed: seed)
    result.steps = last?.steps ?? []
    if let last, !last.underWay.isEmpty {
      let calls = Array(Set(last.underWay)).sorted()
      result.expected = "an answer"
      result.actual = "none within \(time)"
      result.detail = "no answer within \(time) to \(calls.prefix(4).joined(separator: "; "))\(calls.count > 4 ? " and \(calls.count - 4) more" : "")"
    } else {
      result.detail = "no verdict within \(time)\(last?.steps.last.map { "; its last step was \($0.text)" } ?? ""); \(whereabouts)"
    }
    return result
  }

  /// What was left behind is charged to the last case: run alone, it is the only one.
  private func audit(_ directory: CaseDirectory, _ results: inout [CaseResult], _ mark: String?) {
    if let mark { Leftovers(mark: mark, directory: directory.path).remove() }
    guard !results.isEmpty else { return }
    let last = results.count - 1
    var leaks = LeakAudit.endProcesses(of: directory.path) + LeakAudit.devices(below: directory.path) + directory.damaged()
    if results[last].outcome == .pass { leaks += directory.leftovers() }
    if results[last].outcome != .pass { results[last].log = directory.logTail() }
    if let stuck = directory.remove() { leaks.append(stuck) }
    results[last].leaks = leaks
  }

  private func failAll(_ rest: inout ArraySlice<AnyCase>, _ why: String) -> [CaseResult] {
    defer { rest = [] }
    return rest.map { CaseResult($0.info, .error, detail: why, seed: seed) }
  }

  private func seconds(since began: ContinuousClock.Instant) -> Double {
    let took = began.duration(to: .now).components
    return Double(took.seconds) + Double(took.attoseconds) / 1e18
  }
}
