import CLinux
import Foundation
import ImagePull
import Protocols
import Synchronization

/// How far a pull has come: one bar that is redrawn on a terminal, a line per finished blob elsewhere.
final class ProgressDisplay: Sendable {
  private struct State {
    var blobs: [String: PullProgress] = [:]
    var drawn = Timestamp.never
  }

  private let quiet: Bool
  private let terminal: Bool
  private let state = Mutex(State())

  init(quiet: Bool) {
    self.quiet = quiet
    self.terminal = isatty(2) == 1
  }

  func update(_ progress: PullProgress) {
    if quiet { return }
    let line = state.withLock { state -> String? in
      let before = state.blobs[progress.ref]?.state
      state.blobs[progress.ref] = progress
      if terminal {
        let now = Timestamp.now()
        if progress.state == .downloading && now.seconds == state.drawn.seconds && now.nanoseconds - state.drawn.nanoseconds < 100_000_000 { return nil }
        state.drawn = now
        return "\r" + Self.bar(Array(state.blobs.values)) + "\u{1B}[K"
      }
      guard progress.state != .downloading, before != progress.state else { return nil }
      return "\(progress.ref.prefix(26)) \(Self.size(progress.total)) \(progress.state == .exists ? "exists" : "done")\n"
    }
    if let line { write(line) }
  }

  func unpacking(_ done: Int, of count: Int) {
    if quiet { return }
    if terminal {
      write("\runpacking layer \(min(done + 1, count)) of \(count)\u{1B}[K" + (done == count ? "\n" : ""))
    } else if done == count {
      write("unpacked \(count) layers\n")
    }
  }

  func finish() { if terminal && !quiet { write("\n") } }

  private static func bar(_ blobs: [PullProgress]) -> String {
    let total = blobs.reduce(0) { $0 + $1.total }
    let done = blobs.reduce(0) { $0 + ($1.state == .downloading ? $1.offset : $1.total) }
    let filled = total > 0 ? Int(done * 30 / total) : 0
    let finished = blobs.filter { $0.state != .downloading }.count
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
      + "] \(size(done)) of \(size(total)), \(finished) of \(blobs.count) blobs"
  }

  private static func size(_ bytes: Int64) -> String {
    bytes < 1 << 20 ? String(format: "%.1f KiB", Double(bytes) / 1024) : String(format: "%.1f MiB", Double(bytes) / 1_048_576)
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
