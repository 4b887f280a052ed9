import Protocols

extension LayerIndex {
  /// What this index says otherwise than one that was built from the layer itself; nil if nothing.
  ///
  /// Places of bytes are compared where both are places in the tar archive, and digests where both tell them. Tables of contents in a layer do not name
  /// themselves, nor the landmarks, and some tell times to the second.
  public func difference(from built: LayerIndex) -> String? {
    if archive != .contents {
      for (told, real) in zip(entries, built.entries) where !told.agrees(with: real, inPlaces: true) {
        return "\"\(told.text)\" is not as \"\(real.text)\" there"
      }
      return entries.count == built.entries.count ? nil : "\(entries.count) entries, and there are \(built.entries.count)"
    }
    var real: [[UInt8]: Entry] = [:]
    for entry in built.entries { real[Self.plain(entry.name)] = entry }
    for name in [ContentsTable.landmark, ContentsTable.noLandmark, EStargz.tocName] { real[name] = nil }
    for told in entries {
      guard let entry = real.removeValue(forKey: Self.plain(told.name)) else { return "\"\(told.text)\" is not in the layer" }
      if !told.agrees(with: entry, inPlaces: false) { return "\"\(told.text)\" is otherwise in the layer" }
    }
    return real.values.first.map { "\"\($0.text)\" is in the layer, and not told" }
  }
}

extension LayerIndex.Entry {
  fileprivate func agrees(with real: LayerIndex.Entry, inPlaces: Bool) -> Bool {
    var (told, real) = (self, real)
    if told.digest == nil || real.digest == nil { (told.digest, real.digest) = (nil, nil) }
    if !inPlaces {
      told.name = LayerIndex.plain(told.name)
      real.name = LayerIndex.plain(real.name)
      (told.pieces, real.pieces) = ([], [])
      if told.nanoseconds == 0, (-1...1).contains(told.seconds.subtractingReportingOverflow(real.seconds).partialValue) {
        (told.seconds, told.nanoseconds) = (real.seconds, real.nanoseconds)
      }
    }
    return told == real
  }
}
