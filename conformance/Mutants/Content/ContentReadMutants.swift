import ConformanceKit
import Protocols

/// A reader of nothing.
private struct NoBytes: ContentReader {
  let size: Int64 = 0
  func read(at offset: Int64, count: Int) async throws -> [UInt8] { [] }
  func close() async {}
}

extension ContentMutants {
  static let reads: [Mutant] = [
    mutant("content-empty-reader", "a reader of a blob that is not there finds it empty", kills: ["content.read.missing"], symptom: "reader") {
      $0.onReader = { base, digest in
        do { return try await base.reader(digest) } catch let error as ContainerdError where error.code == .notFound { return NoBytes() }
      }
    },
    mutant("content-eof-error", "reading at the end is an error", kills: ["content.read.ranges"], symptom: "out of range") {
      $0.wrapReaders {
        $0.onRead = { reader, offset, count in
          if offset >= reader.base.size && offset > 0 { throw ContainerdError.outOfRange("content \(reader.digest): read at \(offset)") }
          return try await reader.base.read(at: offset, count: count)
        }
      }
    },
    mutant("content-short-reads", "a read gives 64 KiB at most", kills: ["content.read.ranges"], symptom: "read of") {
      $0.wrapReaders { $0.onRead = { reader, offset, count in try await reader.base.read(at: offset, count: min(count, 64 << 10)) } }
    },
    mutant("M095", "readers share one position", kills: ["content.read.parallel"], symptom: "other bytes") {
      $0.wrapReaders {
        let position = Kept<Int64>(0)
        $0.onRead = { reader, offset, count in
          position.set(offset)
          try await Task.sleep(for: .milliseconds(2))
          return try await reader.base.read(at: position.now, count: count)
        }
      }
    },
    mutant("M094", "a delete is done later: the blob is still found", kills: ["content.delete.forgets"], symptom: "info after delete") {
      $0.onDelete = { base, digest in _ = try await base.info(digest) }
    },
    mutant("content-reader-by-name", "an open reader asks for the name each time", kills: ["content.delete.open-reader"], symptom: "not found") {
      $0.wrapReaders {
        $0.onRead = { reader, offset, count in
          _ = try await reader.store.info(reader.digest)
          return try await reader.base.read(at: offset, count: count)
        }
      }
    },
  ]

  static let labels: [Mutant] = [
    mutant("content-mask-all", "a mask of one label replaces all labels", kills: ["content.update.masks"], symptom: "labels returned for the mask") {
      $0.onUpdate = { base, info, fields in
        try await base.update(info, fields: FieldMask(fields.paths.map { $0.hasPrefix("labels.") && $0.utf8.count > 7 ? "labels" : $0 }))
      }
    },
    mutant("content-never-updated", "the time of the last update stays that of the creation", kills: ["content.update.times"], symptom: "updated at") {
      @Sendable func old(_ info: ContentInfo) -> ContentInfo {
        var info = info
        info.updatedAt = info.createdAt
        return info
      }
      $0.onInfo = { base, digest in old(try await base.info(digest)) }
      $0.onUpdate = { base, info, fields in old(try await base.update(info, fields: fields)) }
      $0.onWalk = { base, filters, visit in try await base.walk(filters) { try await visit(old($0)) } }
    },
    mutant("content-mask-lenient", "paths that cannot be changed are passed over", kills: ["content.update.immutable"], symptom: "it succeeded") {
      $0.onUpdate = { base, info, fields in
        try await base.update(info, fields: FieldMask(fields.paths.filter { $0 == "labels" || ($0.hasPrefix("labels.") && $0 != "labels.") }))
      }
    },
    mutant("content-update-anything", "labels of a blob that is not there are taken", kills: ["content.update.missing"], symptom: "it succeeded") {
      $0.onUpdate = { base, info, fields in
        do { return try await base.update(info, fields: fields) } catch let error as ContainerdError where error.code == .notFound { return info }
      }
    },
    mutant("content-labels-cut", "a label that is too long is cut", kills: ["content.update.label-limit"], symptom: "it succeeded") {
      $0.onUpdate = { base, info, fields in
        var info = info
        for (key, value) in info.labels where key.utf8.count + value.utf8.count > 4096 { info.labels[key] = String(value.prefix(1000)) }
        return try await base.update(info, fields: fields)
      }
    },
    mutant("content-labels-one-line", "labels of more than one line are lost", kills: ["content.update.odd-labels"], symptom: "labels given to the") {
      $0.wrapWriters {
        $0.onCommit = { writer, expected, labels in try await writer.base.commit(expected, labels: labels.filter { !$0.value.contains("\n") }) }
      }
    },
  ]

  static let walks: [Mutant] = [
    mutant("content-walk-all", "a walk passes its filters over", kills: ["content.walk.filters"], symptom: "blobs that match") {
      $0.onWalk = { base, _, visit in try await base.walk(.all, visit) }
    },
    mutant("content-walk-thin", "a walk tells no labels", kills: ["content.walk.infos"], symptom: "info of") {
      $0.onWalk = { base, filters, visit in
        try await base.walk(filters) {
          var info = $0
          info.labels = [:]
          try await visit(info)
        }
      }
    },
    mutant("content-walk-page", "a walk ends after its first hundred blobs", kills: ["content.walk.many"], symptom: "blobs seen") {
      $0.onWalk = { base, filters, visit in
        let count = Kept(0)
        try await base.walk(filters) { info in
          let number = count.with { value in
            value += 1
            return value
          }
          if number <= 100 { try await visit(info) }
        }
      }
    },
    mutant("content-walk-deaf", "an error of the visitor is swallowed", kills: ["content.walk.visitor-error"], symptom: "it succeeded") {
      $0.onWalk = { base, filters, visit in
        // The fault itself: the visitor's errors go nowhere.
        try await base.walk(filters) { info in do { try await visit(info) } catch {} }
      }
    },
    mutant(
      "content-walk-locks", "nothing can be changed during a walk", kills: ["content.walk.visitor-may-change"], symptom: "is locked",
      threads: ["containerd/containerd#1706"]
    ) {
      let walking = Kept(0)
      $0.onWalk = { base, filters, visit in
        walking.with { $0 += 1 }
        defer { walking.with { $0 -= 1 } }
        try await base.walk(filters, visit)
      }
      $0.onUpdate = { base, info, fields in
        if walking.now > 0 { throw ContainerdError.unavailable("the database is locked") }
        return try await base.update(info, fields: fields)
      }
    },
    mutant("content-statuses-all", "ingests are listed whatever the filter", kills: ["content.statuses.filters"], symptom: "refs that match") {
      $0.onStatuses = { base, _ in try await base.statuses(.all) }
    },
  ]

  static let races: [Mutant] = [
    mutant("content-lost-update", "labels are read, changed and written back without a lock", kills: ["content.race.updates"], symptom: "labels") {
      $0.onUpdate = { base, info, fields in
        var labels = try await base.info(info.digest).labels
        if fields.paths.contains(where: { !$0.hasPrefix("labels.") || $0 == "labels." }) || fields.isEmpty {
          return try await base.update(info, fields: fields)
        }
        try await Task.sleep(for: .milliseconds(3))
        labels = fields.updatedLabels(of: labels, from: info.labels)
        return try await base.update(ContentInfo(digest: info.digest, labels: labels), fields: ["labels"])
      }
    },
    mutant("content-shared-buffer", "writers share one buffer", kills: ["content.race.many-blobs"], symptom: "other bytes") {
      let buffer = Kept<[UInt8]>([])
      $0.wrapWriters {
        $0.onWrite = { writer, bytes, offset in
          buffer.set(bytes)
          await Task.yield()
          let shared = buffer.now
          try await writer.base.write(shared.count == bytes.count ? shared : bytes, at: offset)
        }
      }
    },
  ]
}
