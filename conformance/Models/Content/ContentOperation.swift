import Hashing
import Protocols

/// What can be asked of a content store, as a value. Writers are known by numbers, blobs by their bytes.
package enum ContentOperation: Hashable, Sendable, CustomStringConvertible {
  case open(Int, ref: String, size: Int64?, blob: String?)
  case write(Int, String, at: Int64?)
  case startOver(Int)
  case writerStatus(Int)
  case commit(Int, size: Int64?, blob: String?, Labels)
  case close(Int)
  case status(String)
  case statuses
  case abort(String)
  case info(String)
  case update(String, Labels, mask: [String])
  case read(String, at: Int64, count: Int)
  case walk([String])
  case delete(String)

  package var description: String {
    switch self {
    case .open(let writer, let ref, let size, let blob):
      "writer \(writer): open ref \"\(ref)\"\(size.map { ", \($0) bytes expected" } ?? "")\(blob.map { ", digest of \"\($0)\" expected" } ?? "")"
    case .write(let writer, let text, let offset): "writer \(writer): write \"\(text)\"\(offset.map { " at \($0)" } ?? "")"
    case .startOver(let writer): "writer \(writer): truncate to 0"
    case .writerStatus(let writer): "writer \(writer): status"
    case .commit(let writer, let size, let blob, let labels):
      "writer \(writer): commit\(size.map { ", \($0) bytes expected" } ?? "")\(blob.map { ", digest of \"\($0)\" expected" } ?? "")"
        + (labels.isEmpty ? "" : " with \(described(labels))")
    case .close(let writer): "writer \(writer): close"
    case .status(let ref): "status of ref \"\(ref)\""
    case .statuses: "all ingests"
    case .abort(let ref): "abort ref \"\(ref)\""
    case .info(let blob): "info of \"\(blob)\""
    case .update(let blob, let labels, let mask):
      "update \"\(blob)\" to \(described(labels)), mask \(mask.isEmpty ? "empty" : mask.joined(separator: ","))"
    case .read(let blob, let offset, let count): "read \"\(blob)\" from \(offset), \(count) bytes"
    case .walk(let filters): filters.isEmpty ? "walk" : "walk \(filters.joined(separator: " or "))"
    case .delete(let blob): "delete \"\(blob)\""
    }
  }

  /// The writer that it uses; an opening makes one.
  package var writer: Int? {
    switch self {
    case .write(let writer, _, _), .startOver(let writer), .writerStatus(let writer), .commit(let writer, _, _, _), .close(let writer): writer
    default: nil
    }
  }

  /// The word for it: what findings of one kind have in common.
  package var verb: String {
    switch self {
    case .open: "open"
    case .write: "write"
    case .startOver: "truncate"
    case .writerStatus, .status, .statuses: "status"
    case .commit: "commit"
    case .close: "close"
    case .abort: "abort"
    case .info: "info"
    case .update: "update"
    case .read: "read"
    case .walk: "walk"
    case .delete: "delete"
    }
  }

  /// The same with containerd's command line, where it can.
  package var command: String {
    let ctr = "ctr --address \"$SOCKET\" content"
    switch self {
    case .commit(_, _, let blob, _):
      return blob.map { "printf '\($0)' | \(ctr) ingest --expected-digest \(ContentModel.digest($0)) REF" } ?? "printf … | \(ctr) ingest REF"
    case .statuses: return "\(ctr) active"
    case .info(let blob): return "\(ctr) ls | grep \(ContentModel.digest(blob))"
    case .read(let blob, _, _): return "\(ctr) get \(ContentModel.digest(blob))"
    case .update(let blob, let labels, _):
      return "\(ctr) label \(ContentModel.digest(blob)) \(labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))"
    case .walk: return "\(ctr) ls"
    case .delete(let blob): return "\(ctr) rm \(ContentModel.digest(blob))"
    default: return ""
    }
  }
}

/// What a content store answers, as far as it can be foretold.
package enum ContentAnswer: Hashable, Sendable, CustomStringConvertible {
  case done
  case ingest(IngestFacts)
  case ingests(Set<IngestFacts>)
  case blob(BlobFacts)
  case blobs(Set<BlobFacts>)
  case digest(Digest)
  case bytes(String)

  package var description: String {
    switch self {
    case .done: "ok"
    case .ingest(let facts): facts.description
    case .ingests(let all): all.isEmpty ? "no ingest" : all.map(\.description).sorted().joined(separator: "; ")
    case .blob(let facts): facts.description
    case .blobs(let all): all.isEmpty ? "no blob" : all.map(\.description).sorted().joined(separator: "; ")
    case .digest(let digest): "\(digest)"
    case .bytes(let text): "the bytes \"\(text)\""
    }
  }
}

package struct IngestFacts: Hashable, Sendable, CustomStringConvertible {
  package var ref: String
  package var offset: Int64
  package var total: Int64
  package var description: String { "ref \"\(ref)\" at offset \(offset)\(total == 0 ? "" : " of \(total)")" }
}

package struct BlobFacts: Hashable, Sendable, CustomStringConvertible {
  package var digest: Digest
  package var size: Int64
  package var labels: Labels
  package var description: String { "blob \(digest.hex.prefix(12)), \(size) bytes\(labels.isEmpty ? "" : ", labels \(described(labels))")" }
}
