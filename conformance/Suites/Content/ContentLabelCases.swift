import Protocols

extension ContentStoreSuite {
  static let labels: [ContractCase<ContentSubject>] = [
    ContractCase("content.update.masks", "a mask sets one label, removes one, or replaces all", "ContentStore.update; FieldMask; CON-03") { subject in
      let digest = try await subject.put(bytes("labelled"), labels: ["a": "1", "b": "2", "c": "3"])
      let steps: [(Labels, FieldMask, Labels)] = [
        (["a": "9", "b": "ignored"], ["labels.a"], ["a": "9", "b": "2", "c": "3"]),
        ([:], ["labels.b"], ["a": "9", "c": "3"]),
        (["c": "", "d": "4"], ["labels.c", "labels.d"], ["a": "9", "d": "4"]),
        (
          ["containerd.io/gc.ref.content.l.0": "x"], ["labels.containerd.io/gc.ref.content.l.0"], ["a": "9", "d": "4", "containerd.io/gc.ref.content.l.0": "x"]
        ),
        (["only": "this"], ["labels"], ["only": "this"]),
        (["all": "new"], .all, ["all": "new"]),
      ]
      for (labels, mask, expected) in steps {
        let updated = try await subject.store.update(ContentInfo(digest: digest, labels: labels), fields: mask)
        try expectEqual(updated.labels, expected, "labels returned for the mask \(mask.paths)")
        try expectEqual(try await subject.store.info(digest), updated, "what is stored after the mask \(mask.paths)")
        try expectEqual(updated.size, 8, "size")
      }
    },
    ContractCase("content.update.times", "an update advances the time of the update and nothing else", "ContentStore.update; CON-03, CON-27") { subject in
      let digest = try await subject.put(bytes("timed"))
      let before = try await subject.store.info(digest)
      try await Task.sleep(for: .milliseconds(20))
      let after = try await subject.store.update(ContentInfo(digest: digest, labels: ["a": "1"]), fields: ["labels.a"])
      try expectEqual(after.createdAt, before.createdAt, "time of creation")
      try expect(after.updatedAt > before.updatedAt, "updated at \(before.updatedAt), then at \(after.updatedAt)")
    },
    ContractCase("content.update.immutable", "only labels can be changed; a bad path changes nothing", "ContentStore.update; CON-03") { subject in
      let digest = try await subject.put(bytes("fixed"), labels: ["a": "1"])
      for path in ["size", "digest", "created_at", "nonsense"] {
        try await expectError(.invalidArgument, from: "update of \"\(path)\"") {
          _ = try await subject.store.update(ContentInfo(digest: digest, size: 1, labels: ["a": "2"]), fields: FieldMask(["labels.a", path]))
        }
      }
      try expectEqual(try await subject.store.info(digest).labels, ["a": "1"], "labels")
    },
    ContractCase("content.update.missing", "a blob that is not there has no labels", "ContentStore.update; REF-C14") { subject in
      try await expectError(.notFound, from: "update") {
        _ = try await subject.store.update(ContentInfo(digest: subject.digest(bytes("nowhere")), labels: ["a": "1"]), fields: ["labels.a"])
      }
    },
    ContractCase("content.update.label-limit", "a label longer than 4096 bytes is refused and changes nothing", "Labels; SNAP-18") { subject in
      let digest = try await subject.put(bytes("short"), labels: ["a": "1"])
      let fits = String(repeating: "ü", count: 2047) + "x"
      _ = try await subject.store.update(ContentInfo(digest: digest, labels: ["k": fits]), fields: ["labels.k"])
      try await expectError(.invalidArgument, from: "a label of 4097 bytes") {
        _ = try await subject.store.update(ContentInfo(digest: digest, labels: ["k": fits + "x", "a": "2"]), fields: ["labels.a", "labels.k"])
      }
      try expectEqual(try await subject.store.info(digest).labels, ["a": "1", "k": fits], "labels")
    },
    ContractCase("content.update.odd-labels", "labels are any text", "Labels; REF-V01") { subject in
      var labels: Labels = [:]
      for (number, name) in oddNames.enumerated() { labels[name] = "\(number) \(name)" }
      let digest = try await subject.put(bytes("odd"), labels: labels)
      try expectEqual(try await subject.store.info(digest).labels, labels, "labels given to the commit")
      _ = try await subject.store.update(ContentInfo(digest: digest, labels: labels), fields: ["labels"])
      try expectEqual(try await subject.store.info(digest).labels, labels, "labels given to the update")
    },
  ]

  static let walks: [ContractCase<ContentSubject>] = [
    ContractCase("content.walk.filters", "a walk visits what its filters match, each once", "ContentStore.walk; FilterSet; CON-24, FLT-01, FLT-02") { subject in
      let a = try await subject.put(bytes("a"), ref: "a", labels: ["kind": "small", "a b.c": "x"])
      let b = try await subject.put(bytes("bb"), ref: "b", labels: ["kind": "small"])
      let c = try await subject.put(bytes("ccc"), ref: "c", labels: ["kind": "large"])
      try expectEqual(try await subject.walked(), [a, b, c], "without a filter")
      for (filters, expected) in [
        (["labels.kind==small"], [a, b]), (["labels.kind!=small"], [c]), (["labels.kind"], [a, b, c]), (["labels.\"a b.c\"==x"], [a]),
        (["labels.kind~=^l"], [c]),
        (["labels.kind==small,digest==\(b)"], [b]), (["labels.kind==large", "digest==\(a)"], [a, c]), (["digest==\(b)"], [b]), (["labels.none"], []),
        ([""], [a, b, c]),
      ] as [([String], [Digest])] {
        let seen = Visited<Digest>()
        try await subject.store.walk(FilterSet(parsing: filters)) { seen.append($0.digest) }
        try expectEqual(seen.items.sorted(), expected.sorted(), "blobs that match \(filters)")
      }
    },
    ContractCase(
      "content.walk.filter-size", "blobs can be asked for by their size", "ContentStore.walk; FilterSet; REF-C15", level: .may,
      why: "the field is among those of a blob, but not every store has it"
    ) { subject in
      let a = try await subject.put(bytes("a"), ref: "a")
      let b = try await subject.put(bytes("bb"), ref: "b")
      let c = try await subject.put(bytes("ccc"), ref: "c")
      try expectEqual(try await subject.walked("size==2"), [b], "blobs of 2 bytes")
      try expectEqual(try await subject.walked("size==1", "size==3"), [a, c], "blobs of 1 or 3 bytes")
    },
    ContractCase("content.walk.infos", "a walk tells what info tells", "ContentStore.walk; CON-24, CON-27") { subject in
      for number in 0..<5 { try await subject.put(pattern(number, count: number), labels: ["n": "\(number)"]) }
      let seen = Visited<ContentInfo>()
      try await subject.store.walk(.all) { seen.append($0) }
      try expectEqual(seen.items.count, 5, "blobs seen")
      for info in seen.items { try expectEqual(try await subject.store.info(info.digest), info, "info of \(info.digest)") }
    },
    ContractCase("content.walk.many", "a walk is whole however many blobs there are", "ContentStore.walk; CON-24") { subject in
      var expected: Set<Digest> = []
      for number in 0..<230 { expected.insert(try await subject.put(bytes("blob \(number)"), ref: "r\(number)")) }
      try expectEqual(try await subject.walked().count, expected.count, "blobs seen")
      try expect(try await subject.walked() == expected, "other blobs were seen")
    },
    ContractCase("content.walk.visitor-error", "an error of the visitor ends the walk and is thrown", "ContentStore.walk; REF-C11") { subject in
      for number in 0..<3 { try await subject.put(bytes("\(number)"), ref: "\(number)") }
      let seen = Visited<Digest>()
      try await expectError(.aborted, from: "a walk whose visitor throws") {
        try await subject.store.walk(.all) { info in
          seen.append(info.digest)
          throw ContainerdError(.aborted, "enough")
        }
      }
      try expectEqual(seen.items.count, 1, "blobs seen before the end")
    },
    ContractCase("content.walk.visitor-may-change", "the visitor may use the store, even delete what it visits", "ContentStore.walk; REF-C12") { subject in
      for number in 0..<3 { try await subject.put(bytes("\(number)"), ref: "\(number)") }
      try await inTime("a walk whose visitor deletes") {
        try await subject.store.walk(.all) { info in
          _ = try await subject.store.update(ContentInfo(digest: info.digest, labels: ["seen": "1"]), fields: ["labels.seen"])
          try await subject.store.delete(info.digest)
        }
      }
      try expectEqual(try await subject.walked(), [], "blobs left")
    },
    ContractCase("content.statuses.filters", "ingests can be listed by ref", "ContentStore.statuses; CON-22, FLT-01") { subject in
      var writers: [any ContentWriter] = []
      for ref in ["layer-1", "layer-2", "config"] { writers.append(try await subject.open(ref)) }
      for (filters, expected) in [
        ([], ["config", "layer-1", "layer-2"]), (["ref~=^layer-"], ["layer-1", "layer-2"]), (["ref==config"], ["config"]), (["ref==none"], []),
      ] as [([String], [String])] {
        try expectEqual(try await subject.store.statuses(FilterSet(parsing: filters)).map(\.ref).sorted(), expected, "refs that match \(filters)")
      }
      for writer in writers { await writer.close() }
    },
  ]

  static let concurrency: [ContractCase<ContentSubject>] = [
    ContractCase("content.race.one-ref", "of many that open one ref, one gets it", "ContentStore law 3; REF-C05, REF-C09") { subject in
      let writers = Visited<any ContentWriter>()
      let results = try await concurrently(12) { _ in writers.append(try await subject.open("r")) }
      try expectOneWinner(results, others: .unavailable, what: "opening one ref")
      for writer in writers.items { await writer.close() }
    },
    ContractCase("content.race.one-blob", "of many that commit the same bytes, one makes the blob", "ContentStore law 2; REF-C06, REF-C09") { subject in
      let data = pattern(4, count: 20_000)
      let results = try await concurrently(12) { number in
        let writer = try await subject.open("r\(number)")
        do {
          try await writer.write(data, at: 0)
          let digest = try await writer.commit(IngestExpectation(), labels: ["by": "\(number)"])
          await writer.close()
          return (digest, number)
        } catch {
          await writer.close()
          throw error
        }
      }
      try expectOneWinner(results, others: .alreadyExists, what: "committing the same bytes")
      for case .success(let (digest, number)) in results {
        try expectEqual(try await subject.store.info(digest).labels, ["by": "\(number)"], "labels are the winner's")
      }
      try expectEqual(try await subject.store.statuses(.all).count, 0, "ingests left")
    },
    ContractCase("content.race.updates", "updates of different labels do not lose each other", "ContentStore, concurrency; REF-C09, REF-V02") { subject in
      let digest = try await subject.put(bytes("busy"))
      let results = try await concurrently(16) { number in
        _ = try await subject.store.update(ContentInfo(digest: digest, labels: ["l\(number)": "1"]), fields: FieldMask(["labels.l\(number)"]))
      }
      for result in results { try result.get() }
      try expectEqual(try await subject.store.info(digest).labels.count, 16, "labels")
    },
    ContractCase("content.race.many-blobs", "uploads at the same time do not mix", "ContentStore, concurrency; CON-21, REF-C09") { subject in
      let results = try await concurrently(16) { number in
        let writer = try await subject.open("r\(number)")
        let data = pattern(number, count: 10_000)
        for start in stride(from: 0, to: data.count, by: 1000) { try await writer.write(Array(data[start..<start + 1000]), at: Int64(start)) }
        let digest = try await writer.commit(IngestExpectation(), labels: [:])
        await writer.close()
        return digest == subject.digest(data)
      }
      for result in results { try expect(try result.get(), "an upload came out as other bytes") }
    },
  ]
}
