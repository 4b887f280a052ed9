import ConformanceSuites
import GRPCCore
import Protocols

/// What the filters of a content service do: its own, for nothing is filtered on the way.
public enum WireContentSuite {
  private static let why = "Clients that ask for a few blobs get all, or none: they delete what is not theirs, or fetch what is there."
  private static let bad = ["labels.kind==", "digest~", ",", "\"open"]

  public static let cases: [ContractCase<WireContentSubject>] = [
    ContractCase(
      "wire.content.filters", "the server applies the filters of a listing of blobs", "ContentStore.walk; FilterSet; CON-24, FLT-01, FLT-02", why: why
    ) { subject in
      let a = try await subject.content.put(bytes("a"), ref: "a", labels: ["kind": "small", "a b.c": "x"]).description
      let b = try await subject.content.put(bytes("b"), ref: "b", labels: ["kind": "small"]).description
      let c = try await subject.content.put(bytes("c"), ref: "c", labels: ["kind": "large"]).description
      for (filters, expected) in [
        ([], [a, b, c]), (["digest==\(b)"], [b]), (["labels.kind==small"], [a, b]), (["labels.kind!=small"], [c]), (["labels.\"a b.c\"==x"], [a]),
        (["labels.kind~=^l"], [c]), (["labels.kind==small,digest==\(a)"], [a]), (["labels.kind==large", "digest==\(a)"], [a, c]), (["labels.none==x"], []),
      ] as [([String], [String])] { try expectEqual(try await subject.digests(filters), expected.sorted(), "blobs listed with \(filters)") }
    },
    ContractCase(
      "wire.content.status-filters", "the server applies the filters of a listing of ingests", "ContentStore.statuses; FilterSet; CON-22, FLT-01", why: why
    ) {
      subject in
      var writers: [any ContentWriter] = []
      for ref in ["layer-1", "layer-2", "config"] { writers.append(try await subject.content.open(ref)) }
      for (filters, expected) in [
        ([], ["config", "layer-1", "layer-2"]), (["ref==config"], ["config"]), (["ref~=^layer-"], ["layer-1", "layer-2"]),
        (["ref==config", "ref==layer-2"], ["config", "layer-2"]), (["ref==none"], []),
      ] as [([String], [String])] { try expectEqual(try await subject.refs(filters), expected, "ingests listed with \(filters)") }
      for writer in writers { await writer.close() }
    },
    ContractCase(
      "wire.content.bad-filter", "a filter that is none is an error, not an empty listing", "ContentStore.walk, statuses; FilterSet; FLT-03", why: why
    ) {
      subject in
      try await subject.content.put(bytes("a"), ref: "a")
      for filter in bad {
        for filters in [[filter], ["digest==x", filter]] {
          try await expectRefused("List with the filters \(filters)") { _ = try await subject.digests(filters) }
          try await expectRefused("ListStatuses with the filters \(filters)") { _ = try await subject.refs(filters) }
        }
      }
    },
    ContractCase(
      "wire.content.bad-filter-class", "a filter that is none has the status InvalidArgument", "ContentStore.walk, statuses; FilterSet; FLT-04, ERR-01",
      level: .should,
      why: "An unknown error looks like a failure of the daemon, and is tried again."
    ) { subject in
      for filter in bad {
        try await expectStatus(.invalidArgument, from: "List with the filter \(filter)") { _ = try await subject.digests([filter]) }
        try await expectStatus(.invalidArgument, from: "ListStatuses with the filter \(filter)") { _ = try await subject.refs([filter]) }
      }
    },
  ]

  private static func expectRefused(_ what: String, _ body: () async throws -> Void) async throws {
    do { try await body() } catch is RPCError { return }
    throw Mismatch(description: "\(what) succeeded", expected: "\(what): an error", actual: "OK")
  }
}
