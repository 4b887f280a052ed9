import ConformanceSuites
import ContainerdAPI
import GRPCCore
import SwiftProtobuf

/// What the snapshots service looks like on the wire.
public enum WireSnapshotterSuite {
  public static let cases: [ContractCase<WireSnapshotterSubject>] = statuses + messages + connections

  static let statuses: [ContractCase<WireSnapshotterSubject>] = [
    wire(
      "wire.status.not-found", "what is not there has the status NotFound, and the message names it",
      "Snapshotter.stat, remove, commit; REF-S03, REF-V03, ERR-01",
      threads: ["firecracker-microvm/firecracker-containerd#117"]
    ) {
      subject, api in
      let message = try await expectStatus(.notFound, from: "Stat of a missing key") { _ = try await subject.stat(api, "missing-key") }
      try expect(message.contains("missing-key"), "the message of NotFound does not name the key: \"\(message)\"")
      try await expectStatus(.notFound, from: "Remove of a missing key") { try await subject.remove(api, "missing-key") }
      try await expectStatus(.notFound, from: "Commit of a missing key") { try await subject.commit(api, "name", "missing-key") }
      try await expectStatus(.notFound, from: "Prepare on a missing parent") { try await subject.prepare(api, "a", "missing-key") }
    },
    wire("wire.status.already-exists", "what is there has the status AlreadyExists", "Snapshotter.prepare, commit; SNAP-05, SNAP-09") { subject, api in
      try await subject.prepare(api, "a")
      try await subject.prepare(api, "b")
      try await expectStatus(.alreadyExists, from: "Prepare of a taken key") { try await subject.prepare(api, "a") }
      try await expectStatus(.alreadyExists, from: "Commit to a taken name") { try await subject.commit(api, "b", "a") }
    },
    wire("wire.status.failed-precondition", "what must wait for something else has the status FailedPrecondition", "Snapshotter law 2; SNAP-13") {
      subject, api in
      try await subject.prepare(api, "a")
      try await subject.commit(api, "base", "a")
      try await subject.prepare(api, "child", "base")
      try await expectStatus(.failedPrecondition, from: "Remove of a parent") { try await subject.remove(api, "base") }
    },
    wire("wire.status.invalid-argument", "a mask that cannot be has the status InvalidArgument", "Snapshotter.update; SNAP-06") { subject, api in
      try await subject.prepare(api, "a")
      try await expectStatus(.invalidArgument, from: "Update of the parent") {
        _ = try await api.update(
          .with {
            $0.snapshotter = subject.snapshotter
            $0.info.name = "a"
            $0.updateMask.paths = ["parent"]
          }, metadata: subject.headers)
      }
    },
    wire("wire.status.unimplemented", "a method that nobody serves has the status Unimplemented", "gRPC, unknown methods; RPC-02") { subject, _ in
      try await WireConnection.with(socket: subject.socket, interceptors: subject.interceptors) { connection in
        for (service, method) in [("containerd.services.snapshots.v1.Snapshots", "Novelty"), ("containerd.services.novelty.v1.Novelty", "Get")] {
          try await expectStatus(.unimplemented, from: "\(service)/\(method)") {
            try await connection.client.unary(
              request: ClientRequest(message: Google_Protobuf_Empty(), metadata: subject.headers),
              descriptor: MethodDescriptor(fullyQualifiedService: service, method: method), serializer: Wire<Google_Protobuf_Empty>(),
              deserializer: Wire<Google_Protobuf_Empty>(), options: .defaults
            ) { _ = try $0.message }
          }
        }
      }
    },
    ContractCase(
      "wire.status.namespace", "a call without a namespace is refused with FailedPrecondition or InvalidArgument",
      "namespaces: the header containerd-namespace; NS-01",
      needs: [.namespaces], why: "A call that falls into some default namespace shows and removes other people's snapshots."
    ) { subject in
      try await subject.connected { api in
        _ = try await expectStatus(.failedPrecondition, .invalidArgument, from: "Stat without a namespace") {
          _ = try await api.stat(
            .with {
              $0.snapshotter = subject.snapshotter
              $0.key = "a"
            })
        }
      }
    },
    ContractCase(
      "wire.status.snapshotter", "a snapshotter that is not there is told by NotFound or InvalidArgument", "Snapshots service, snapshotter; REF-M06, ERR-01",
      needs: [.namespaces],
      why: "A wrong name in a client's configuration must not look like a broken daemon."
    ) { subject in
      var wrong = subject
      wrong.snapshotter = "no-such-snapshotter"
      try await wrong.connected { [wrong] api in
        _ = try await expectStatus(.notFound, .invalidArgument, from: "Prepare with a wrong snapshotter") { try await wrong.prepare(api, "a") }
      }
    },
    ContractCase(
      "wire.namespaces.apart", "namespaces do not see each other's keys", "namespaces; NS-02", needs: [.namespaces],
      why: "Two clients of one daemon use the same keys as a matter of course."
    ) { subject in
      var other = subject
      other.namespace = subject.namespace + "-other"
      other.lease = nil
      try await subject.connected { [other] api in
        try await subject.prepare(api, "a")
        try await expectStatus(.notFound, from: "Stat in another namespace") { _ = try await other.stat(api, "a") }
        try expectEqual(try await other.names(api), [], "keys listed in another namespace")
      }
    },
  ]

  static let messages: [ContractCase<WireSnapshotterSubject>] = [
    wire("wire.list.filters", "the server applies the filters of a listing", "Snapshotter.walk; SNAP-14") { subject, api in
      try await subject.prepare(api, "a", labels: ["l": "x"])
      try await subject.commit(api, "base", "a")
      try await subject.prepare(api, "child", "base", labels: ["l": "x", "a b.c": "y"])
      for (filters, expected) in [
        ([], ["base", "child"]), ([""], ["base", "child"]), (["kind==active"], ["child"]), (["kind==committed"], ["base"]), (["kind==view"], []),
        (["parent==base"], ["child"]), (["parent==\"\""], ["base"]), (["name==base"], ["base"]), (["name~=^ch"], ["child"]), (["name!=base"], ["child"]),
        (["labels.l==x"], ["child"]), (["labels.\"a b.c\"==y"], ["child"]), (["labels.l==y"], []), (["labels.l"], ["child"]),
        (["name==base", "kind==active"], ["base", "child"]), (["name==none", "kind==active"], ["child"]), (["name==base,kind==active"], []),
        (["kind==active,parent==base,labels.l==x"], ["child"]), (["labels.\"a b.c\"==y,parent==\"\""], []),
      ] as [([String], [String])] { try expectEqual(try await subject.names(api, filters), expected, "names listed with \(filters)") }
    },
    wire("wire.list.bad-filter", "a filter that is none is an error, not an empty listing", "Snapshotter.walk; SNAP-14") { subject, api in
      try await subject.prepare(api, "a")
      for filters in [["kind=="], ["kind==active", "kind=="], ["kind~"], [","], ["kind==active,"], ["labels.\"open==x"]] {
        do { _ = try await subject.list(api, filters) } catch is RPCError { continue }
        throw Mismatch(description: "List with the filters \(filters) succeeded", expected: "List with the filters \(filters): an error", actual: "OK")
      }
    },
    ContractCase(
      "wire.list.bad-filter-class", "a filter that is none has the status InvalidArgument", "Snapshotter.walk; SNAP-14", level: .should,
      why: "An unknown error looks like a failure of the snapshotter, and is tried again."
    ) { subject in
      try await subject.connected { api in
        for filters in [["kind=="], ["kind==active", "kind=="], [","]] {
          _ = try await expectStatus(.invalidArgument, from: "List with the filters \(filters)") { _ = try await subject.list(api, filters) }
        }
      }
    },
    wire("wire.list.many", "a long listing comes whole, in messages that every client takes", "Snapshotter.walk; SNAP-14") { subject, api in
      let long = String(repeating: "v", count: 4000)
      for number in 0..<150 { try await subject.prepare(api, "\(number)", labels: ["a": long, "b": long]) }
      let messages = try await subject.list(api)
      let names = messages.flatMap { $0.info.map(\.name) }
      try expectEqual(names.count, 150, "snapshots listed")
      try expectEqual(Set(names).count, 150, "different snapshots listed")
      for message in messages {
        let size = try message.serializedData().count
        try expect(size <= 4 << 20, "a message of \(size) bytes: more than the 4 MiB that a gRPC client takes by default")
      }
    },
    wire("wire.info.fields", "kinds, parents, labels and times have their fields", "snapshots.proto, Info; SNAP-01, SNAP-02") { subject, api in
      try await subject.prepare(api, "a")
      try await subject.commit(api, "base", "a")
      try await subject.prepare(api, "active", "base", labels: ["k": "v"])
      _ = try await api.view(
        .with {
          $0.snapshotter = subject.snapshotter
          $0.key = "view"
          $0.parent = "base"
        }, metadata: subject.headers)
      for (key, kind, parent) in [("base", .committed, ""), ("active", .active, "base"), ("view", .view, "base")]
        as [(String, Containerd_Services_Snapshots_V1_Kind, String)]
      {
        let info = try await subject.stat(api, key)
        try expectEqual(info.kind, kind, "kind of \(key)")
        try expectEqual(info.parent, parent, "parent of \(key)")
        for (time, what) in [(info.createdAt, "created_at"), (info.updatedAt, "updated_at")] {
          try expect(
            time.seconds > 1_500_000_000 && (0..<1_000_000_000).contains(time.nanos),
            "\(what) of \(key) is no time of today: \(time.seconds) s, \(time.nanos) ns")
        }
      }
      try expectEqual(try await subject.stat(api, "active").labels, ["k": "v"], "labels")
    },
    wire("wire.fields.unknown", "fields that the server does not know are passed over", "protobuf, unknown fields; RPC-01") { subject, api in
      var request = Containerd_Services_Snapshots_V1_PrepareSnapshotRequest.with {
        $0.snapshotter = subject.snapshotter
        $0.key = "a"
      }
      // Field 1000, a text.
      try request.merge(serializedBytes: [0xc2, 0x3e, 0x03, 0x6e, 0x65, 0x77] as [UInt8])
      _ = try await api.prepare(request, metadata: subject.headers)
      try expectEqual(try await subject.stat(api, "a").kind, .active, "kind")
    },
    wire("wire.mounts.same", "Mounts tells what Prepare told", "Snapshotter law 3; SNAP-08") { subject, api in
      let made = try await subject.prepare(api, "a")
      let asked = try await api.mounts(
        .with {
          $0.snapshotter = subject.snapshotter
          $0.key = "a"
        }, metadata: subject.headers
      ).mounts
      try expectEqual(asked, made, "mounts")
    },
    wire("wire.cleanup", "Cleanup succeeds, or says that it is not implemented", "Snapshotter.cleanup; SNAP-17") { subject, api in
      do { _ = try await api.cleanup(.with { $0.snapshotter = subject.snapshotter }, metadata: subject.headers) } catch let error as RPCError {
        try expectEqual(error.code, .unimplemented, "status of a refused Cleanup (\(error.message))")
      }
    },
  ]

  static let connections: [ContractCase<WireSnapshotterSubject>] = [
    ContractCase(
      "wire.authority", "a server on a socket takes any authority", "gRPC, :authority; RPC-03",
      why: "Clients send localhost, the socket's path, or nothing sensible.",
      threads: ["rancher-sandbox/rancher-desktop#52"]
    ) { subject in
      for authority in ["localhost", "unix", "containerd.sock", "example.com:1234", "%2Frun%2Fcontainerd.sock"] {
        try await inTime("a call with the authority \(authority)") {
          try await subject.connected(authority: authority) { api in _ = try await subject.names(api) }
        }
      }
    },
    wire("wire.many-calls", "hundreds of calls at once on one connection are all answered", "gRPC, streams; RPC-05") { subject, api in
      try await subject.prepare(api, "a")
      try await inTime("300 calls at once") {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for _ in 0..<300 { group.addTask { _ = try await subject.stat(api, "a") } }
          try await group.waitForAll()
        }
      }
    },
    wire(
      "wire.cancelled-lists", "listings that are given up hold nothing", "gRPC, cancellation; Snapshotter, concurrency; RPC-04",
      threads: ["containerd/containerd#1730"]
    ) {
      subject, api in
      for number in 0..<20 { try await subject.prepare(api, "\(number)") }
      for round in 0..<20 {
        let listing = Task { try await subject.names(api) }
        try await Task.sleep(for: .microseconds(round * 100))
        listing.cancel()
        _ = await listing.result
      }
      try await inTime("changes after listings were given up") {
        try await subject.prepare(api, "after")
        try await subject.remove(api, "after")
      }
      try expectEqual(try await subject.names(api).count, 20, "snapshots listed")
    },
    wire(
      "wire.cancelled-calls", "a call that is given up returns at once, and is done whole or not at all", "gRPC, cancellation; SNAP-05, SNAP-07, SNAP-12",
      threads: ["containerd/containerd#1724"]
    ) { subject, api in
      try await subject.prepare(api, "making")
      try await subject.commit(api, "base", "making")
      for round in 0..<24 {
        let delay = Duration.microseconds(round * round * 15)
        try await givenUp("Prepare", after: delay) { try await subject.prepare(api, "a\(round)", "base") }
        try await inTime("making what a given up Prepare may have made") {
          do { try await subject.prepare(api, "a\(round)", "base") } catch let error as RPCError where error.code == .alreadyExists {}
        }
        let info = try await subject.stat(api, "a\(round)")
        try expect(info.kind == .active && info.parent == "base", "what a given up Prepare and another made: \(info.kind) on \"\(info.parent)\"")
        try await givenUp("Usage", after: delay) { try await subject.usage(api, "a\(round)") }
        try await givenUp("Commit", after: delay) { try await subject.commit(api, "c\(round)", "a\(round)") }
        try await inTime("committing what a given up Commit may have committed") {
          do { try await subject.commit(api, "c\(round)", "a\(round)") } catch let error as RPCError
            where error.code == .notFound || error.code == .alreadyExists
          {}
        }
        try expectEqual(try await subject.stat(api, "c\(round)").kind, .committed, "kind after a given up Commit and another")
        try await givenUp("Remove", after: delay) { try await subject.remove(api, "c\(round)") }
        try await inTime("removing what a given up Remove may have removed") {
          do { try await subject.remove(api, "c\(round)") } catch let error as RPCError where error.code == .notFound {}
        }
      }
      // A Prepare that was given up may have come after the other one's snapshot was committed: the key was free again. What it made can be removed.
      for name in try await subject.names(api) where name != "base" { try await subject.remove(api, name) }
      try expectEqual(try await subject.names(api), ["base"], "names left")
    },
    ContractCase("wire.reconnect", "what one connection made, the next one finds", "Snapshotter; gRPC; REF-S10", why: "Clients come and go; snapshots stay.") {
      subject in
      try await subject.connected { api in _ = try await subject.prepare(api, "a", labels: ["k": "v"]) }
      try await subject.connected { api in try expectEqual(try await subject.stat(api, "a").labels, ["k": "v"], "labels on another connection") }
    },
  ]

  /// Starts a call, gives it up, and waits for its end, whatever that is.
  private static func givenUp(_ what: String, after delay: Duration, _ body: @escaping @Sendable () async throws -> Void) async throws {
    let call = Task { try await body() }
    try await Task.sleep(for: delay)
    call.cancel()
    _ = try await inTime("a \(what) that was given up", seconds: 5) { await call.result }
  }

  private static func wire(
    _ id: String, _ sentence: String, _ statement: String, threads: [String] = [],
    _ body: @escaping @Sendable (WireSnapshotterSubject, WireSnapshotterSubject.API) async throws -> Void
  ) -> ContractCase<WireSnapshotterSubject> {
    ContractCase(
      id, sentence, statement,
      why: "Clients in other languages see nothing of a snapshotter but its messages and statuses; a wrong one sends them down a wrong path.",
      threads: threads
    ) { subject in try await subject.connected { api in try await body(subject, api) } }
  }
}

/// Messages of a method that no generated client knows.
struct Wire<Content: SwiftProtobuf.Message>: MessageSerializer, MessageDeserializer {
  func serialize<Bytes: GRPCContiguousBytes>(_ message: Content) throws -> Bytes { Bytes(try message.serializedBytes() as [UInt8]) }
  func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Content {
    try bytes.withUnsafeBytes { try Content(serializedBytes: Array($0)) }
  }
}
