import CLinux
import ConformanceKit
import Synchronization

/// What people see while a run goes on: one line that changes on a terminal, a line per red case elsewhere. On standard error.
final class ProgressLine: Sendable {
  private struct State {
    var counts: [Outcome: Int] = [:]
    var running: [String] = []
    var shown = ContinuousClock.now - .seconds(10)
    var tenth = 0
  }
  private let state = Mutex(State())
  private let terminal = isatty(2) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"
  private let quiet: Bool

  init(quiet: Bool) { self.quiet = quiet }

  func began(_ id: String) {
    state.withLock { state in
      state.running.append(id)
      draw(&state, done: nil)
    }
  }

  func ended(_ result: CaseResult, done: Int, of total: Int) {
    state.withLock { state in
      state.running.removeAll { $0 == result.id }
      state.counts[result.outcome, default: 0] += 1
      if result.outcome.isRed || (!result.leaks.isEmpty && result.outcome == .pass) {
        let why = result.outcome.isRed ? result.detail : "passed, but: " + result.leaks.joined(separator: "; ")
        say("\(result.outcome.isRed ? result.outcome.rawValue : "leak")  \(result.id)  \(why.split(separator: "\n").first ?? "")")
      }
      draw(&state, done: (done, total))
    }
  }

  func note(_ text: String) { state.withLock { _ in say(text) } }

  func clear() { if terminal && !quiet { put("\r\u{1b}[K") } }

  private func say(_ text: String) {
    if quiet { return }
    put(terminal ? "\r\u{1b}[K\(text)\n" : text + "\n")
  }

  private func draw(_ state: inout State, done: (Int, Int)?) {
    guard !quiet, let done else { return }
    let (count, total) = done
    let figures = Outcome.allCases.compactMap { outcome in state.counts[outcome].map { "\($0) \(outcome.rawValue)" } }.joined(separator: ", ")
    if terminal {
      if ContinuousClock.now - state.shown < .milliseconds(80) && count < total { return }
      state.shown = .now
      let filled = total == 0 ? 0 : count * 20 / total
      let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: 20 - filled)
      put("\r\u{1b}[K\(bar) \(count)/\(total)  \(figures)  \(state.running.first ?? "")")
    } else if total > 0, count * 10 / total > state.tenth {
      state.tenth = count * 10 / total
      put("\(count)/\(total)  \(figures)\n")
    }
  }

  private func put(_ text: String) {
    let bytes = Array(text.utf8)
    // A terminal that went away is no reason to stop judging.
    _ = CLinux.write(2, bytes, bytes.count)
  }
}
