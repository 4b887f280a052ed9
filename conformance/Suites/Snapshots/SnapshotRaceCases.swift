import Protocols

extension SnapshotterSuite {
  /// More of what several callers may do at once.
  static let races: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.race.one-removal", "of many that remove one key, one does", "Snapshotter, concurrency; SNAP-13",
      why: "Two that both succeed free the same directory twice: the second may take a new snapshot of that key along."
    ) { subject in
      for round in 0..<5 {
        try await subject.prepare("a\(round)")
        let results = try await concurrently(8) { _ in try await subject.snapshotter.remove("a\(round)") }
        try expectOneWinner(results, others: .notFound, what: "removing one key")
      }
    },
    ContractCase(
      "snapshots.race.one-commit", "of many that commit one key, one gives it its name", "Snapshotter.commit, concurrency; SNAP-12",
      why: "Two names on one directory: writes to neither are expected, and removing one empties the other."
    ) { subject in
      for round in 0..<5 {
        try await subject.prepare("a")
        let results = try await concurrently(6) { number in try await subject.commit("c\(round)-\(number)", "a") }
        try expectOneWinner(results, others: .notFound, what: "committing one key")
        try expectEqual(try await subject.names("name~=^c\(round)-").count, 1, "names made of one key")
      }
    },
    ContractCase(
      "snapshots.race.walk", "a walk sees what stays exactly once, whatever comes and goes meanwhile", "Snapshotter.walk, concurrency; SNAP-14",
      why: "A collector that misses a snapshot in its walk removes its parent's content; one that sees it twice counts wrongly."
    ) { subject in
      let stays = (0..<30).map { "stays \($0)" }
      for key in stays { try await subject.prepare(key) }
      let over = Visited<Bool>()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<3 {
          group.addTask {
            var round = 0
            while over.items.isEmpty, round < 2000 {
              try await subject.prepare("passing \(worker) \(round)")
              try await subject.snapshotter.remove("passing \(worker) \(round)")
              round += 1
            }
          }
        }
        for _ in 0..<8 {
          let seen = try await subject.names().filter { $0.hasPrefix("stays") }
          try expectEqual(seen, stays.sorted(), "what stays, in a walk during changes")
        }
        over.append(true)
        try await group.waitForAll()
      }
    },
    ContractCase(
      "snapshots.race.parent-in-the-making", "a child is made on a name once that is committed, never before", "Snapshotter law 1, concurrency; SNAP-03",
      why: "A child of a half-committed layer starts without the layer's files."
    ) { subject in
      for round in 0..<8 {
        try await subject.prepare("a\(round)")
        let results = try await concurrently(2) { number in
          if number == 0 { try await subject.commit("p\(round)", "a\(round)") } else { try await subject.prepare("child\(round)", "p\(round)") }
        }
        let made = try await subject.names().contains("child\(round)")
        for case .failure(let error) in results { try expectEqual(error.code, .notFound, "why a child was not made: \(error)") }
        try expectEqual(try await subject.snapshotter.stat("p\(round)").kind, .committed, "kind of the parent")
        let failed = results.count { if case .failure = $0 { true } else { false } }
        if made { try expectEqual(try await subject.snapshotter.stat("child\(round)").parent, "p\(round)", "parent of the child") }
        try expectEqual(made, failed == 0, "the child is there if and only if its making succeeded")
      }
    },
    ContractCase(
      "snapshots.race.chains", "chains that are built and taken apart side by side do not meet", "Snapshotter, concurrency; SNAP-05",
      why: "Parallel pulls and prunes are the usual load of a node.", threads: ["containerd/containerd#1671", "containerd/containerd#10843"]
    ) { subject in
      let results = try await concurrently(6) { worker in
        for round in 0..<3 {
          var parent: String?
          for layer in 0..<4 {
            let name = "w\(worker) r\(round) l\(layer)"
            try await subject.layer(name, on: parent, labels: ["w": "\(worker)"])
            parent = name
          }
          for layer in (0..<4).reversed() { try await subject.snapshotter.remove("w\(worker) r\(round) l\(layer)") }
        }
      }
      for result in results { try result.get() }
      try expectEqual(try await subject.names(), [], "names left")
    },
    ContractCase(
      "snapshots.race.reads", "a committed snapshot can be asked about at any time, whatever its children do", "Snapshotter, concurrency; SNAP-07",
      why: "A lock held over a slow call makes every other image wait.", threads: ["containerd/containerd#1730"]
    ) { subject in
      try await subject.layer("base", labels: ["k": "v"])
      let results = try await concurrently(9) { worker in
        for round in 0..<6 {
          if worker.isMultiple(of: 3) {
            try await subject.prepare("\(worker) \(round)", "base")
            try await subject.snapshotter.remove("\(worker) \(round)")
          } else {
            let info = try await subject.snapshotter.stat("base")
            if info.labels != ["k": "v"] || info.kind != .committed { throw ContainerdError.dataLoss("stat of the base tells \(info)") }
            _ = try await subject.snapshotter.usage("base")
          }
        }
      }
      for result in results { try result.get() }
    },
    ContractCase(
      "snapshots.race.cancelled", "a call whose caller goes away leaves the snapshot made, or not made, never between", "Snapshotter, concurrency; SNAP-09",
      why: "A pull that is interrupted leaves a key that can neither be used nor made: every later pull of that image fails.",
      threads: ["containerd/stargz-snapshotter#1326"]
    ) { subject in
      try await subject.layer("base")
      for round in 0..<20 {
        let key = "a\(round)"
        let task = Task { try await subject.prepare(key, "base") }
        try await Task.sleep(for: .microseconds(round * 150))
        task.cancel()
        let outcome = await task.result
        // A server may still be at work when its caller has gone: within some time the key can be used, or made.
        let mounts: [Mount] = try await eventually("a snapshot under the key of an interrupted call") {
          do { return try await subject.prepare(key, "base") } catch let error as ContainerdError where error.code == .alreadyExists {}
          do { return try await subject.snapshotter.mounts(key) } catch let error as ContainerdError where error.code == .notFound { return nil }
        }
        if case .success(let told) = outcome { try expectEqual(mounts, told, "mounts of \(key)") }
        try await subject.commit("c\(round)", key)
      }
    },
    ContractCase(
      "snapshots.race.own-trees", "snapshots made at once on one parent share nothing that is written", "SNAP-10; Snapshotter, concurrency", needs: [.files],
      why: "Two containers of one image that write into one directory corrupt each other.", threads: ["moby/moby#44450"]
    ) { subject in
      try await subject.layer("base") { try $0.write("base", bytes("b")) }
      let results = try await concurrently(8) { number in try await subject.prepare("a\(number)", "base") }
      for (number, result) in results.enumerated() { try await subject.enter(try result.get()) { try $0.write("own \(number)", bytes("x")) } }
      for result in results {
        try await subject.enter(try result.get()) { tree in
          let names = try tree.names("")
          try expect(names.count == 2 && names.contains("base"), "names in a snapshot that one file was written into: \(names)")
        }
      }
    },
    ContractCase(
      "snapshots.race.usage", "usage can be asked while files come and go", "Snapshotter.usage; SNAP-07", needs: [.files],
      why: "A metrics collector asks for running containers, whose files vanish under its walk.", threads: ["containerd/containerd#720", "moby/moby#52845"]
    ) { subject in
      let mounts = try await subject.prepare("a")
      let (over, rounds) = (Visited<Bool>(), Visited<Int>())
      let writing = Task {
        try await subject.enter(mounts) { tree in
          try tree.makeDirectory("dir")
          for number in 0..<40 { try tree.write("dir/\(number)", bytes("contents")) }
          // Longer than all the questions together: of the names that one of them has read, some are gone when it looks at them.
          while over.items.isEmpty {
            for number in 0..<40 {
              try tree.remove("dir/\(number)")
              try tree.write("dir/\(number)", bytes("contents"))
            }
            rounds.append(1)
          }
          try tree.remove("dir")
        }
      }
      let asked: Result<Void, any Error>
      do {
        // A walk that minds what vanishes under it fails within a few of them.
        var questions = 0
        while questions < 300 || (rounds.items.count < 30 && questions < 20_000) {
          _ = try await subject.snapshotter.usage("a")
          questions += 1
        }
        asked = .success(())
      } catch { asked = .failure(error) }
      over.append(true)
      try await writing.value
      try asked.get()
      let usage = try await subject.snapshotter.usage("a")
      try expect(usage.inodes <= 1, "usage when everything is removed again: \(usage)")
    },
  ]
}
