/// Whoever changes what a name stands for takes a turn: within this process nobody comes between another's reading and writing.
actor Turns {
  private var busy: Set<String> = []
  private var waiting: [String: [CheckedContinuation<Void, Never>]] = [:]

  func take(_ name: String) async {
    if busy.insert(name).inserted { return }
    await withCheckedContinuation { waiting[name, default: []].append($0) }
  }

  func give(_ name: String) {
    guard var line = waiting.removeValue(forKey: name) else {
      busy.remove(name)
      return
    }
    line.removeFirst().resume()
    if !line.isEmpty { waiting[name] = line }
  }
}
