import ConformanceSuites
import Protocols

/// The order in which a layer becomes a snapshot, read off a tape: prepared, applied, found to be what the config names, committed.
///
/// Layers may be worked on at the same time: each key is followed by itself.
struct LayerOrder {
  enum Rule: String, CaseIterable {
    case bottomFirst = "a layer is prepared on the committed snapshot of the layer below"
    case appliedBeforeCommit = "a layer is committed after it has been applied to the mounts of that very key"
    case verified = "what is committed has the DiffID that the config names, under the ChainID"
    case overWhenCommitted = "a key that was committed or removed is not used again"
    case noMountsOfCommitted = "nobody asks for the mounts of a committed snapshot"
    case everyKeyEnds = "every key that was prepared is committed or removed"
    case blobBeforeApply = "a layer is applied when its blob is in the store"
  }

  let calls: [Tape.Call]
  let image: PipelineImage

  /// What breaks the rule, as sentences.
  func violations(of rule: Rule) -> [String] {
    switch rule {
    case .bottomFirst: prepared.compactMap(misplaced)
    case .appliedBeforeCommit: commits.compactMap { commit in appliedBefore(commit) == nil ? "\(commit) came without a successful apply before it" : nil }
    case .verified: commits.compactMap(unverified)
    case .overWhenCommitted: prepared.flatMap(usedAfterEnd)
    case .noMountsOfCommitted: mountsOfCommitted
    case .everyKeyEnds: prepared.filter { end(of: $0.arguments[0]) == nil }.map { "\($0) was neither committed nor removed" }
    case .blobBeforeApply: applies.compactMap(tooEarly)
    }
  }

  var prepared: [Tape.Call] { calls.filter { $0.name == "snapshots.prepare" && $0.succeeded } }
  var applies: [Tape.Call] { calls.filter { $0.name == "applier.apply" } }
  /// Attempts too: to try is to have thought it right.
  var commits: [Tape.Call] { calls.filter { $0.name == "snapshots.commit" } }

  /// The call that made an end of a key.
  func end(of key: String) -> Tape.Call? {
    calls.first { $0.succeeded && (($0.name == "snapshots.commit" && $0.arguments[1] == key) || ($0.name == "snapshots.remove" && $0.arguments[0] == key)) }
  }

  private func misplaced(_ prepare: Tape.Call) -> String? {
    let parent = prepare.arguments[1]
    let key = prepare.arguments[0]
    if let commit = commits.first(where: { $0.arguments[1] == key }), let layer = image.layers.firstIndex(where: { $0.chain == commit.arguments[0] }) {
      let below = layer == 0 ? "" : image.layers[layer - 1].chain
      if parent != below { return "layer \(layer + 1) was prepared on \(parent.isEmpty ? "nothing" : parent), expected \(below.isEmpty ? "nothing" : below)" }
    }
    if parent.isEmpty { return nil }
    let below = calls.first { $0.name == "snapshots.commit" && $0.succeeded && $0.arguments[0] == parent && $0.isBefore(prepare) }
    let known = calls.contains { $0.name == "snapshots.stat" && $0.succeeded && $0.arguments[0] == parent && $0.isBefore(prepare) }
    return below == nil && !known ? "\(prepare): its parent was neither committed nor seen before" : nil
  }

  private func appliedBefore(_ commit: Tape.Call) -> Tape.Call? {
    guard let prepare = prepared.last(where: { $0.arguments[0] == commit.arguments[1] && $0.isBefore(commit) }) else { return nil }
    return applies.last { $0.succeeded && $0.mounts == prepare.mounts && prepare.isBefore($0) && $0.isBefore(commit) }
  }

  private func unverified(_ commit: Tape.Call) -> String? {
    guard let apply = appliedBefore(commit) else { return nil }
    guard let layer = image.layers.first(where: { $0.chain == commit.arguments[0] }) else {
      return "\(commit): the name is the ChainID of no layer"
    }
    if "\(layer.descriptor.digest)" != apply.arguments[0] { return "\(commit): what was applied is the layer \(apply.arguments[0])" }
    return "\(layer.diffID)" == apply.answer ? nil : "\(commit): the applier found \(apply.answer), the config names \(layer.diffID)"
  }

  private func usedAfterEnd(_ prepare: Tape.Call) -> [String] {
    let key = prepare.arguments[0]
    guard let end = end(of: key) else { return [] }
    return calls.filter { end.isBefore($0) && $0.part == .snapshots && $0.operation != "stat" && $0.operation != "prepare" && $0.arguments.first == key }
      .map { "\($0) came after \(end)" }
  }

  private var mountsOfCommitted: [String] {
    let committed = Set(image.layers.map(\.chain))
    return calls.filter { $0.name == "snapshots.mounts" && $0.arguments.first.map(committed.contains) == true }.map { "\($0) asks for a committed snapshot" }
  }

  private func tooEarly(_ apply: Tape.Call) -> String? {
    let stored = calls.contains { $0.name == "content.commit" && $0.arguments[1] == apply.arguments[0] && $0.isBefore(apply) && $0.ended != nil }
    let known = calls.contains {
      ["content.writer", "content.info", "content.reader"].contains($0.name) && $0.isBefore(apply) && $0.arguments.contains(apply.arguments[0])
        && ($0.failure == .alreadyExists || ($0.succeeded && $0.name != "content.writer"))
    }
    return stored || known ? nil : "\(apply) began before its blob was committed"
  }
}
