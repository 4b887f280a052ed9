import ConformanceSystemSuites

extension LayerPlan {
  private enum Act { case nothing, file, directory, link, hardLink, special, whiteout, replaceByFile, replaceByDirectory, opaque }

  /// A name that is longer than the first form of tar has room for.
  private static let long = "a-name-of-" + String(repeating: "many-", count: 24) + "bytes"
  static let paths = ["a", "b", "c", "d", "d/a", "d/b", "d/d", "d/d/a", "e", "e/a", "e/e", "e/" + long, long]

  /// A layer that makes sense over the tree. Deletions come anywhere; a new directory may be told of after what is in it, or not at all.
  /// - Parameter deleting: without it the layer is what any tar extracts.
  package static func draw(_ attempt: Attempt, over lower: LayerTree, deleting: Bool = true) -> LayerPlan {
    var plan = LayerPlan()
    var deletions: [Entry] = []
    var later: [Entry] = []
    // Names of lower layers that this one links to: they stay.
    var linked: [String] = []
    for path in paths {
      let act: Act = attempt.weighted(weights(path, deleting))
      if act == .nothing || linked.contains(where: { $0 == path || $0.hasPrefix(path + "/") }) { continue }
      var current = LayerPlan()
      current.entries = deletions + plan.entries + later
      let tree = current.applied(to: lower)
      let parent = LayerTree.parent(path)
      // A deletion below a directory that is itself new would be of nothing.
      let deletable =
        lower[path] != nil && lower.isDirectory(parent) && !deletions.contains { $0.path == parent || parent.hasPrefix($0.path + "/") }
        && tree.isDirectory(parent)
      guard tree.holds(path), tree.isDirectory(parent) || mayBeMadeByTheWay(topmostMissing(parent, in: tree), in: tree, lower) else { continue }
      switch act {
      case .nothing: break
      case .file: plan.entries.append(Entry(path: path, form: .file(attempt.draw(10)), attributes: .draw(attempt, directory: false)))
      case .link:
        let siblings = tree.names.keys.filter { LayerTree.parent($0) == parent && !tree.isDirectory($0) }.sorted().map {
          String($0.split(separator: "/").last ?? "")
        }
        let target = attempt.one(of: ["nowhere", "../a", "/etc/hostname", long] + siblings + siblings)
        var attributes = EntryAttributes.draw(attempt, directory: false)
        attributes.extended = [:]
        plan.entries.append(Entry(path: path, form: .link(target), attributes: attributes))
      case .hardLink:
        let existing = tree.names.keys.filter { mayBeLinked($0, from: path, in: tree, lower: lower, plan) }.sorted()
        if existing.isEmpty {
          plan.entries.append(Entry(path: path, form: .file(attempt.draw(10)), attributes: .draw(attempt, directory: false)))
        } else {
          let links = existing.filter { if case .link? = tree[$0]?.kind { true } else { false } }
          let chosen = attempt.one(of: links.isEmpty || attempt.chance(50) ? existing : links)
          linked.append(chosen)
          // The entry says of the file what was said before, so that it does not matter whether it is heard.
          let attributes = tree[chosen]?.attributes ?? EntryAttributes(mode: 0o644)
          plan.entries.append(Entry(path: path, form: .hardLink(chosen), attributes: attributes))
        }
      case .special:
        let form: Entry.Form = attempt.one(of: [.fifo, .character(1, 3), .block(259, 70_000)])
        var attributes = EntryAttributes.draw(attempt, directory: false)
        attributes.extended = [:]
        plan.entries.append(Entry(path: path, form: form, attributes: attributes))
      case .whiteout: if deletable { deletions.append(.whiteout(path)) }
      case .replaceByFile:
        if deletable { deletions.append(.whiteout(path)) }
        plan.entries.append(Entry(path: path, form: .file(attempt.draw(10)), attributes: .draw(attempt, directory: false)))
      case .directory, .replaceByDirectory, .opaque:
        if act == .replaceByDirectory, deletable { deletions.append(.whiteout(path)) }
        if act == .opaque, deletable, lower.isDirectory(path) { deletions.append(.opaque(path)) }
        var attributes = EntryAttributes.draw(attempt, directory: true)
        // Whether attributes that an entry does not name go away is written nowhere.
        if let before = lower[path], before.kind == .directory { attributes.extended.merge(before.attributes.extended) { mine, _ in mine } }
        let entry = Entry(path: path, form: .directory, attributes: attributes)
        if lower[path] == nil, attempt.chance(20) { later.append(entry) } else { plan.entries.append(entry) }
      }
    }
    plan.entries += later
    for deletion in deletions { plan.entries.insert(deletion, at: attempt.chance(40) ? plan.entries.count : attempt.draw(plan.entries.count + 1)) }
    return plan
  }

  /// Some names are mostly directories, so that there is something to be in.
  private static func weights(_ path: String, _ deleting: Bool) -> [(Int, Act)] {
    let deletions: [(Int, Act)] = [(4, .whiteout), (2, .replaceByFile), (2, .replaceByDirectory), (4, .opaque)]
    let additions: [(Int, Act)] =
      ["d", "d/d", "e"].contains(path)
      ? [(4, .nothing), (1, .file), (8, .directory), (1, .link), (deleting ? 4 : 0, .opaque)]
      : [(7, .nothing), (6, .file), (1, .directory), (4, .link), (4, .hardLink), (2, .special)]
    return additions + (deleting ? deletions : [])
  }

  /// Not what is deleted and comes again without a word about itself, nor what the kernel gives a set-gid bit to: their attributes are written nowhere.
  private static func mayBeMadeByTheWay(_ directory: String, in tree: LayerTree, _ lower: LayerTree) -> Bool {
    lower[directory] == nil && (tree[LayerTree.parent(directory)]?.attributes.mode ?? 0) & 0o2000 == 0
  }

  private static func topmostMissing(_ path: String, in tree: LayerTree) -> String {
    let parent = LayerTree.parent(path)
    return parent.isEmpty || tree[parent] != nil ? path : topmostMissing(parent, in: tree)
  }

  /// Files and symbolic links of this layer, and those of lower ones that have one name: what becomes of other names below is not written anywhere.
  private static func mayBeLinked(_ name: String, from path: String, in tree: LayerTree, lower: LayerTree, _ plan: LayerPlan) -> Bool {
    guard name != path, let inode = tree[name], !path.hasPrefix(name + "/"), inode.attributes.modified != nil else { return false }
    switch inode.kind {
    case .file, .link: break
    default: return false
    }
    // What this entry takes the place of is not there to be linked to.
    if name.hasPrefix(path + "/") || tree.names(of: path).contains(name) { return false }
    return plan.entries.contains { $0.path == name } || lower.names(of: name).count == 1
  }
}
