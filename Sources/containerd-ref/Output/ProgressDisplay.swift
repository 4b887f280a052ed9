import ImagePull
import Protocols
import Synchronization

/// How far a pull has come: on a terminal a line with a bar for every blob and one for the whole, redrawn in place; elsewhere a line per finished blob.
final class ProgressDisplay: Sendable {
  private struct State {
    var board = ProgressBoard()
    var drawn = ContinuousClock.now - .seconds(1)
    /// Lines of the board that stand on the terminal, the cursor below the last.
    var height = 0
    var over = false
  }

  /// Redrawing more often than this shows nothing new to an eye.
  private static let interval = Duration.milliseconds(80)

  private let quiet: Bool
  private let terminal: Bool
  private let started = ContinuousClock.now
  private let state = Mutex(State())

  init(quiet: Bool) {
    self.quiet = quiet
    self.terminal = Terminal.isTerminal(2)
  }

  func update(_ progress: PullProgress) {
    if quiet { return }
    state.withLock { state in
      let changed = state.board.update(progress, at: elapsed)
      if terminal {
        draw(&state, always: changed)
      } else if changed && progress.state != .downloading {
        Output.error("\(ProgressBoard.name(of: progress.ref)) \(Human.size(progress.total)) \(progress.state == .exists ? "exists" : "done")\n")
      }
    }
  }

  /// Layers whose blobs are not fetched now.
  func lazy(_ present: Int, of count: Int) {
    if quiet { return }
    state.withLock { state in
      state.board.lazy = (present, count)
      if terminal { draw(&state, always: true) } else { Output.error("lazy \(present) of \(count) layers\n") }
    }
  }

  func unpacking(_ done: Int, of count: Int) {
    if quiet { return }
    state.withLock { state in
      state.board.unpacked = (done, count)
      if terminal {
        draw(&state, always: true)
      } else {
        Output.error(done == count ? "unpacked \(count) layers\n" : "unpacking layer \(done + 1) of \(count)\n")
      }
    }
  }

  /// The board stays as it is; what is written next stands below it.
  func finish() {
    if quiet { return }
    state.withLock { state in
      if terminal && !state.over { draw(&state, always: true) }
      state.over = true
    }
  }

  private var elapsed: Double {
    let passed = (ContinuousClock.now - started).components
    return Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
  }

  private func draw(_ state: inout State, always: Bool) {
    let now = ContinuousClock.now
    if state.over || (!always && now - state.drawn < Self.interval) { return }
    state.drawn = now
    let size = Terminal.size(2) ?? Terminal.Size(columns: 80, rows: 24)
    let lines = state.board.lines(width: size.columns, height: size.rows - 1, at: elapsed)
    // Up to where the last board began, every line anew, and nothing of an old board left below.
    var text = state.height > 0 ? "\r\u{1B}[\(state.height)A" : "\r"
    for line in lines { text += line + "\u{1B}[K\n" }
    Output.error(text + "\u{1B}[J")
    state.height = lines.count
  }
}
