import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdAPI
import GRPCCore
import Hashing
import Protocols
import SwiftProtobuf
import SystemKit

/// A differ around another.
struct DifferWrapper: LayerDiffer {
  typealias Diff = @Sendable (_ base: any LayerDiffer, _ lower: [Mount], _ upper: [Mount], any ContentStore, DiffOptions) async throws -> Descriptor
  let base: any LayerDiffer
  let onDiff: Diff
  func diff(from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions) async throws -> Descriptor {
    try await onDiff(base, lower, upper, content, options)
  }
}

/// Faults of diff services: between a case and a good server, and behind its services.
enum WireDifferMutants {
  private typealias ApplyResponse = Containerd_Services_Diff_V1_ApplyResponse
  private typealias ApplyRequest = Containerd_Services_Diff_V1_ApplyRequest

  static let all: [Mutant] = [
    between(
      "DX01", "Apply answers with the media type of the packed layer", kills: ["differ.apply.answer"], symptom: "media type of the answer",
      Between(response: changing { (response: inout ApplyResponse) in response.applied.mediaType += "+gzip" })),
    between(
      "DX02", "Apply does not say how large the archive is", kills: ["differ.apply.answer"], symptom: "size in the answer",
      Between(response: changing { (response: inout ApplyResponse) in response.applied.size = 0 })),
    between(
      "DX03", "a media type that is not known is told by InvalidArgument", kills: ["differ.apply.unknown-type", "differ.diff.unknown-type"],
      symptom: "invalidArgument",
      Between(error: { $0.code == .unimplemented ? RPCError(code: .invalidArgument, message: $0.message) : $0 })),
    between(
      "DX04", "a missing layer is told by Unknown", kills: ["differ.apply.missing", "differ.apply.other-namespace"], symptom: "unknown",
      Between(error: { $0.code == .notFound ? RPCError(code: .unknown, message: $0.message) : $0 })),
    between(
      "DX05", "NotFound has no words", kills: ["differ.apply.missing"], symptom: "does not name the blob",
      Between(error: { $0.code == .notFound ? RPCError(code: .notFound, message: "not found") : $0 })),
    between(
      "DX06", "the namespace of another is as good as one's own", kills: ["differ.apply.other-namespace"], symptom: "it succeeded",
      Between(headers: { headers in
        let name = headers[stringValues: "containerd-namespace"].first { _ in true } ?? ""
        if name.hasSuffix("-other") { headers.replaceOrAddString(String(name.dropLast(6)), forKey: "containerd-namespace") }
      })),
    between(
      "DX07", "a call without a namespace goes to a default one", kills: ["differ.apply.namespace", "differ.diff.namespace"], symptom: "without a namespace",
      Between(headers: { headers in
        if headers[stringValues: "containerd-namespace"].first(where: { _ in true }) == nil { headers.addString("default", forKey: "containerd-namespace") }
      })),
    between(
      "DX08", "a request with a field that is not known is refused", kills: ["differ.apply.unknown-fields"], symptom: "must succeed failed",
      Between(
        request: changing { (request: inout ApplyRequest) in
          if !request.unknownFields.data.isEmpty { throw RPCError(code: .invalidArgument, message: "unknown field") }
        })),
    between(
      "DX09", "the header with the lease is passed over", kills: ["differ.diff.lease"], symptom: "lease does not hold",
      Between(headers: { headers in
        let kept = headers[stringValues: "containerd-namespace"].first { _ in true } ?? ""
        headers = ["containerd-namespace": "\(kept)"]
      })),
    behind("DX10", "mounts that cannot be made are passed over", kills: ["differ.apply.bad-mount"], symptom: "it succeeded") { parts in
      parts.applier = AlteredApplier(
        base: parts.applier, digest: { Digest.of($0) }, trees: nil,
        onApply: { base, layer, content, mounts, options in
          do { return try await base.apply(layer, from: content, to: mounts, options: options) } catch let error as ContainerdError where error.code == .unknown
          {
            return layer
          }
        })
    },
    differ("DX11", "every layer is compressed, whatever is asked for", kills: ["differ.diff.answer"], symptom: "media type of the answer") {
      base, lower, upper, content, options in
      try await base.diff(from: lower, to: upper, into: content, options: DiffOptions(ref: options.ref, labels: options.labels))
    },
    differ("DX12", "the caller's labels are lost", kills: ["differ.diff.labels"], symptom: "the caller's label") { base, lower, upper, content, options in
      try await base.diff(from: lower, to: upper, into: content, options: DiffOptions(mediaType: options.mediaType, ref: options.ref))
    },
    differ("DX13", "the label with the DiffID has the blob's digest", kills: ["differ.diff.labels"], symptom: "DiffID") {
      base, lower, upper, content, options in
      let made = try await base.diff(from: lower, to: upper, into: content, options: options)
      let labels = ["containerd.io/uncompressed": "\(made.digest)"]
      _ = try await content.update(ContentInfo(digest: made.digest, labels: labels), fields: ["labels.containerd.io/uncompressed"])
      return made
    },
    differ("DX14", "a layer that is there already is an error", kills: ["differ.diff.again"], symptom: "already exists") {
      base, lower, upper, content, options in
      let before = Gathered<Digest>()
      try await content.walk(.all) { before.append($0.digest) }
      let made = try await base.diff(from: lower, to: upper, into: content, options: options)
      if before.items.contains(made.digest) { throw ContainerdError.alreadyExists("content \(made.digest)") }
      return made
    },
    differ(
      "DX15", "what a failed Diff has begun to write is left", kills: ["differ.diff.unknown-type", "differ.diff.bad-mount"], symptom: "ingests left"
    ) { base, lower, upper, content, options in
      do { return try await base.diff(from: lower, to: upper, into: content, options: options) } catch {
        let writer = try await content.writer(ref: "begun", expected: IngestExpectation())
        try await writer.write([1], at: 0)
        await writer.close()
        throw error
      }
    },
    differ("DX16", "a tree that cannot be mounted is an empty one", kills: ["differ.diff.bad-mount"], symptom: "it succeeded") {
      base, lower, upper, content, options in
      do { return try await base.diff(from: lower, to: upper, into: content, options: options) } catch let error as ContainerdError where error.code == .unknown
      {
        return try await base.diff(from: lower, to: lower.isEmpty ? upper : lower, into: content, options: options)
      }
    },
    differ("DX17", "a Diff leaves a file of its own in the upper tree", kills: ["differ.diff.trees-unchanged"], symptom: "names in the upper tree") {
      base, lower, upper, content, options in
      let made = try await base.diff(from: lower, to: upper, into: content, options: options)
      if let directory = OnDisk.upper(upper) { try Files.writeAtomically([], to: directory + "/.diff-state") }
      return made
    },
    differ("identity-differ", "every call of a differ is handed on unchanged", kills: []) { base, lower, upper, content, options in
      try await base.diff(from: lower, to: upper, into: content, options: options)
    },
    between("identity-diff-service", "every message is handed on unchanged", kills: [], symptom: "", Between()),
  ]

  private static func between(_ id: String, _ sentence: String, kills: [String], symptom: String, _ between: Between) -> Mutant {
    Mutant(id, sentence, in: .grpc, on: "inproc:differ", kills: kills, symptom: symptom, scope: ["differ.*"]) {
      $0.wrap(WireDifferSubject.self) { $0.interceptors.append(between.fresh()) }
    }
  }
  private static func behind(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout DaemonParts) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .grpc, on: "inproc:differ", kills: kills, symptom: symptom, scope: ["differ.*"]) { $0.wrap(DaemonParts.self) { change(&$0) } }
  }
  private static func differ(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ body: @escaping DifferWrapper.Diff) -> Mutant {
    behind(id, sentence, kills: kills, symptom: symptom) { $0.differ = DifferWrapper(base: $0.differ, onDiff: body) }
  }

  private static func changing<Message: Sendable>(_ change: @escaping @Sendable (inout Message) throws -> Void) -> Between.Change {
    { message in
      guard var changed = message as? Message else { return message }
      try change(&changed)
      return changed
    }
  }
}
