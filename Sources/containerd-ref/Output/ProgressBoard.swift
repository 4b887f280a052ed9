import Foundation
import ImagePull

/// What a pull's progress looks like as lines of text of a given width. Pure: time comes in as seconds since the beginning.
struct ProgressBoard {
  private struct Blob {
    var progress: PullProgress
    /// Where and when the bytes of this pull began.
    var firstOffset: Int64
    var began: Double
    var ended: Double?
  }

  private var blobs: [Blob] = []
  /// Layers unpacked, of how many.
  var unpacked: (done: Int, count: Int)?
  /// Layers that are there without their blobs, of how many.
  var lazy: (present: Int, count: Int)?

  /// True if a blob has come or changed its state, not just moved on.
  mutating func update(_ progress: PullProgress, at time: Double) -> Bool {
    guard let index = blobs.firstIndex(where: { $0.progress.ref == progress.ref }) else {
      blobs.append(Blob(progress: progress, firstOffset: progress.offset, began: time, ended: progress.state == .downloading ? nil : time))
      return true
    }
    let changed = blobs[index].progress.state != progress.state
    blobs[index].progress = progress
    if progress.state != .downloading && blobs[index].ended == nil { blobs[index].ended = time }
    return changed
  }

  /// `layer a88900d7fb7d` from `layer-sha256:a88900d7fb7d2…`.
  static func name(of ref: String) -> String {
    let parts = ref.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, let digest = parts[1].split(separator: ":").last else { return ref }
    return "\(parts[0]) \(digest.prefix(12))"
  }

  /// At most `height` lines: when there are more blobs, those under way come first, and finished ones are only counted.
  func lines(width: Int, height: Int, at time: Double) -> [String] {
    let room = max(1, height - 1 - (unpacked == nil ? 0 : 1) - (lazy == nil ? 0 : 1))
    var shown = blobs
    var left = 0
    if shown.count > room {
      let active = blobs.filter { $0.ended == nil }
      shown = Array((active + blobs.filter { $0.ended != nil }.reversed()).prefix(room - 1))
      left = blobs.count - shown.count
    }
    var lines = shown.map { line(of: $0, width: width, at: time) }
    if left > 0 { lines.append(Self.cut("… and \(left) more", width)) }
    if let lazy { lines.append(Self.cut("lazy: \(lazy.present) of \(lazy.count) layers come when they are read", width - 1)) }
    lines.append(total(width: width, at: time))
    if let unpacked {
      let text = unpacked.done == unpacked.count ? "unpacked \(unpacked.count) layers" : "unpacking layer \(unpacked.done + 1) of \(unpacked.count)"
      lines.append(Self.row("unpack", fraction: unpacked.count > 0 ? Double(unpacked.done) / Double(unpacked.count) : 1, text, nil, width: width))
    }
    return lines
  }

  private func line(of blob: Blob, width: Int, at time: Double) -> String {
    let progress = blob.progress
    switch progress.state {
    case .exists: return Self.row(Self.name(of: progress.ref), fraction: 1, "exists", nil, width: width)
    case .done: return Self.row(Self.name(of: progress.ref), fraction: 1, Human.size(progress.total), "done", width: width)
    case .downloading:
      return Self.row(
        Self.name(of: progress.ref), fraction: Self.fraction(progress.offset, progress.total), "\(Human.size(progress.offset))/\(Human.size(progress.total))",
        Self.speed(progress.offset - blob.firstOffset, time - blob.began), width: width)
    }
  }

  private func total(width: Int, at time: Double) -> String {
    let size = blobs.reduce(0) { $0 + $1.progress.total }
    let here = blobs.reduce(0) { $0 + ($1.ended == nil ? $1.progress.offset : $1.progress.total) }
    let fetched = blobs.reduce(0) { sum, blob in
      blob.progress.state == .exists ? sum : sum + (blob.ended == nil ? blob.progress.offset : blob.progress.total) - blob.firstOffset
    }
    let end = blobs.contains { $0.ended == nil } ? time : blobs.compactMap(\.ended).max() ?? time
    return Self.row(
      "total", fraction: Self.fraction(here, size), "\(Human.size(here))/\(Human.size(size))", Self.speed(fetched, end), width: width)
  }

  private static func fraction(_ part: Int64, _ whole: Int64) -> Double { whole > 0 ? min(1, max(0, Double(part) / Double(whole))) : 1 }

  private static func speed(_ bytes: Int64, _ seconds: Double) -> String? {
    seconds >= 0.05 && bytes > 0 ? "\(Human.size(Int64(Double(bytes) / seconds)))/s" : nil
  }

  private static let nameWidth = 22
  private static let amountWidth = 17
  private static let noteWidth = 11

  /// `layer a88900d7fb7d    [#######.......]  12 MiB/40 MiB    8.1 MiB/s`; what does not fit goes: the note, the amount, at last the bar.
  private static func row(_ name: String, fraction: Double, _ amount: String, _ note: String?, width: Int) -> String {
    let percent = "\(Int(fraction * 100))%"
    // One column stays free: writing into the last one makes some terminals wrap.
    let usable = width - 1
    if usable >= nameWidth + 12 + amountWidth + noteWidth + 2 {
      let bar = min(40, usable - nameWidth - amountWidth - noteWidth - 4)
      return pad(name, nameWidth) + Self.bar(fraction, bar) + "  " + (note.map { pad(amount, amountWidth) + "  " + $0 } ?? amount)
    }
    if usable >= nameWidth + 16 { return pad(name, nameWidth) + Self.bar(fraction, usable - nameWidth - 6) + " " + left(percent, 5) }
    return cut(name, max(0, usable - 5)) + " " + percent
  }

  private static func bar(_ fraction: Double, _ width: Int) -> String {
    let inner = max(1, width - 2)
    let filled = Int(fraction * Double(inner))
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: inner - filled) + "]"
  }

  private static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
  private static func left(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
  private static func cut(_ text: String, _ width: Int) -> String { text.count <= width ? text : String(text.prefix(max(0, width))) }
}
