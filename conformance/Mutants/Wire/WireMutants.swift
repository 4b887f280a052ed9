import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdAPI
import GRPCCore
import SwiftProtobuf

/// Faults on the wire, put between a case and a good server.
enum WireMutants {
  private typealias List = Containerd_Services_Snapshots_V1_ListSnapshotsResponse
  private typealias Stat = Containerd_Services_Snapshots_V1_StatSnapshotResponse
  private typealias Mounts = Containerd_Services_Snapshots_V1_MountsResponse

  static let all: [Mutant] = [
    status("M014", "every error is Unknown", kills: ["wire.status.*"], symptom: "expected the status") { RPCError(code: .unknown, message: $0.message) },
    status("SG01", "NotFound has no words", kills: ["wire.status.not-found"], symptom: "does not name the key") {
      $0.code == .notFound ? RPCError(code: .notFound, message: "not found") : $0
    },
    status("SG02", "what is there is told by Internal", kills: ["wire.status.already-exists"], symptom: "internalError") {
      $0.code == .alreadyExists ? RPCError(code: .internalError, message: $0.message) : $0
    },
    status("SG03", "a parent with children is told by Aborted", kills: ["wire.status.failed-precondition"], symptom: "aborted") {
      $0.code == .failedPrecondition ? RPCError(code: .aborted, message: $0.message) : $0
    },
    status("SG04", "a bad argument is told by OutOfRange", kills: ["wire.status.invalid-argument"], symptom: "outOfRange") {
      $0.code == .invalidArgument ? RPCError(code: .outOfRange, message: $0.message) : $0
    },
    status("SG05", "an unknown method is told by NotFound", kills: ["wire.status.unimplemented"], symptom: "notFound") {
      $0.code == .unimplemented ? RPCError(code: .notFound, message: $0.message) : $0
    },
    headers("SG06", "a call without a namespace goes to a default one", kills: ["wire.status.namespace"], symptom: "Stat without a namespace") {
      if $0["containerd-namespace"].first(where: { _ in true }) == nil { $0.addString("default", forKey: "containerd-namespace") }
    },
    headers("SG07", "all namespaces are one", kills: ["wire.namespaces.apart"], symptom: "another namespace") {
      $0.replaceOrAddString("one", forKey: "containerd-namespace")
    },
    status("SG08", "a snapshotter that is not there is told by Internal", kills: ["wire.status.snapshotter"], symptom: "internalError") {
      $0.message.contains("no-such-snapshotter") ? RPCError(code: .internalError, message: $0.message) : $0
    },
    requests("SG09", "the server does not look at filters", kills: ["wire.list.filters", "wire.list.bad-filter"], symptom: "") {
      (request: inout Containerd_Services_Snapshots_V1_ListSnapshotsRequest) in
      request.filters = []
    },
    requests("SG18", "of several filters all must match", kills: ["wire.list.filters"], symptom: "names listed with") {
      (request: inout Containerd_Services_Snapshots_V1_ListSnapshotsRequest) in
      if request.filters.count > 1 { request.filters = [request.filters.joined(separator: ",")] }
    },
    requests("SG19", "parents are no field of filters", kills: ["wire.list.filters"], symptom: "parent==") {
      (request: inout Containerd_Services_Snapshots_V1_ListSnapshotsRequest) in
      request.filters = request.filters.map { $0.hasPrefix("parent==") ? "" : $0 }
    },
    requests("SG20", "of several filters a bad one is passed over", kills: ["wire.list.bad-filter"], symptom: "succeeded") {
      (request: inout Containerd_Services_Snapshots_V1_ListSnapshotsRequest) in
      if request.filters.count > 1 { request.filters.removeAll { $0.hasSuffix("==") } }
    },
    status("SG21", "a bad filter is an unknown error", kills: ["wire.list.bad-filter-class"], symptom: "unknown") {
      $0.message.contains("filter") ? RPCError(code: .unknown, message: $0.message) : $0
    },
    responses("SG22", "an active snapshot has no kind", kills: ["wire.info.fields"], symptom: "kind of active") { (stat: inout Stat) in
      if stat.info.kind == .active { stat.info.kind = .unknown }
    },
    mutant(
      "SG23", "after some calls that were given up nothing is made any more", kills: ["wire.cancelled-calls"], symptom: "too many",
      Between(refuse: "Prepare", after: 31)),
    blobs(
      "SG24", "the content service does not look at filters", kills: ["wire.content.filters", "wire.content.bad-filter"],
      Between(
        request: casting {
          (request: inout Containerd_Services_Content_V1_ListContentRequest) in request.filters = []
        })),
    blobs(
      "SG25", "of several filters of blobs all must match", kills: ["wire.content.filters"], symptom: "blobs listed with",
      Between(
        request: casting {
          (request: inout Containerd_Services_Content_V1_ListContentRequest) in
          if request.filters.count > 1 { request.filters = [request.filters.joined(separator: ",")] }
        })),
    blobs(
      "SG26", "ingests are not filtered", kills: ["wire.content.status-filters", "wire.content.bad-filter"],
      Between(
        request: casting {
          (request: inout Containerd_Services_Content_V1_ListStatusesRequest) in request.filters = []
        })),
    blobs(
      "SG27", "of several filters of ingests the first counts", kills: ["wire.content.status-filters"], symptom: "ingests listed with",
      Between(
        request: casting {
          (request: inout Containerd_Services_Content_V1_ListStatusesRequest) in request.filters = Array(request.filters.prefix(1))
        })),
    blobs(
      "SG28", "a bad filter of blobs is an unknown error", kills: ["wire.content.bad-filter-class"], symptom: "unknown",
      Between(error: {
        $0.code == .invalidArgument ? RPCError(code: .unknown, message: $0.message) : $0
      })),
    responses("M079", "a listing ends early, with the status OK", kills: ["wire.list.many"], symptom: "snapshots listed") { (list: inout List) in
      list.info = Array(list.info.prefix(60))
    },
    responses("SG10", "times are left out", kills: ["wire.info.fields"], symptom: "created_at") { (stat: inout Stat) in stat.info.clearCreatedAt() },
    responses("SG11", "a view has the number of an active snapshot", kills: ["wire.info.fields"], symptom: "kind of view") { (stat: inout Stat) in
      if stat.info.kind == .view { stat.info.kind = .active }
    },
    responses("SG12", "Mounts leaves the options out", kills: ["wire.mounts.same"], symptom: "mounts") { (mounts: inout Mounts) in
      for place in mounts.mounts.indices { mounts.mounts[place].options = [] }
    },
    responses("SG13", "labels do not survive a connection", kills: ["wire.reconnect"], symptom: "labels on another connection") { (stat: inout Stat) in
      stat.info.labels = [:]
    },
    requests("SG14", "a request with a field that is not known is refused", kills: ["wire.fields.unknown"], symptom: "must succeed failed") {
      (request: inout Containerd_Services_Snapshots_V1_PrepareSnapshotRequest) in
      if !request.unknownFields.data.isEmpty { throw RPCError(code: .invalidArgument, message: "unknown field") }
    },
    mutant("SG15", "cleaning up is an internal error", kills: ["wire.cleanup"], symptom: "refused Cleanup", Between(refuse: "Cleanup", after: 0)),
    mutant("SG16", "after some listings every change is refused", kills: ["wire.cancelled-lists"], symptom: "too many", Between(refuse: "Prepare", after: 20)),
    mutant("SG17", "the two hundredth question is not answered", kills: ["wire.many-calls"], symptom: "too many", Between(refuse: "Stat", after: 200)),
    mutant("M077", "only the first few authorities are taken", kills: ["wire.authority"], symptom: "too many", Between(refuse: "List", after: 2)),
    mutant("identity-wire", "every message is handed on unchanged", kills: [], Between()),
    status("rich-errors-wire", "messages say more", kills: []) { RPCError(code: $0.code, message: "node-1: \($0.message)", metadata: ["more": "details"]) },
  ]

  private static func mutant(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ between: Between) -> Mutant {
    Mutant(id, sentence, in: .grpc, on: "inproc:grpc", kills: kills, symptom: symptom, scope: ["wire.*"]) {
      $0.wrap(WireSnapshotterSubject.self) { $0.interceptors.append(between.fresh()) }
    }
  }
  /// Between a content service and who lists it.
  private static func blobs(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ between: Between) -> Mutant {
    Mutant(id, sentence, in: .grpc, on: "inproc:grpc", kills: kills, symptom: symptom, scope: ["wire.content.*"]) {
      $0.wrap(WireContentSubject.self) { $0.interceptors.append(between.fresh()) }
    }
  }
  private static func status(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (RPCError) -> RPCError)
    -> Mutant
  {
    mutant(id, sentence, kills: kills, symptom: symptom, Between(error: change))
  }
  private static func headers(_ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout Metadata) -> Void)
    -> Mutant
  {
    mutant(id, sentence, kills: kills, symptom: symptom, Between(headers: change))
  }
  private static func requests<Message: Sendable>(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout Message) throws -> Void
  ) -> Mutant { mutant(id, sentence, kills: kills, symptom: symptom, Between(request: casting(change))) }
  private static func responses<Message: Sendable>(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout Message) throws -> Void
  ) -> Mutant { mutant(id, sentence, kills: kills, symptom: symptom, Between(response: casting(change))) }

  private static func casting<Message: Sendable>(_ change: @escaping @Sendable (inout Message) throws -> Void) -> Between.Change {
    { message in
      guard var changed = message as? Message else { return message }
      try change(&changed)
      return changed
    }
  }
}

/// Stands between a client and a server, and changes what passes.
struct Between: ClientInterceptor {
  typealias Change = @Sendable (any Sendable) throws -> any Sendable

  var error: (@Sendable (RPCError) -> RPCError)?
  var headers: (@Sendable (inout Metadata) -> Void)?
  var request: Change?
  var response: Change?
  /// The method that is refused, and how many calls are let through before.
  var refuse: String?
  var after = 0
  private let count = Kept(0)

  init(
    error: (@Sendable (RPCError) -> RPCError)? = nil, headers: (@Sendable (inout Metadata) -> Void)? = nil, request: Change? = nil, response: Change? = nil,
    refuse: String? = nil, after: Int = 0
  ) {
    self.error = error
    self.headers = headers
    self.request = request
    self.response = response
    self.refuse = refuse
    self.after = after
  }

  /// The same, with a count of its own.
  func fresh() -> Between { Between(error: error, headers: headers, request: request, response: response, refuse: refuse, after: after) }

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingClientRequest<Input>, context: ClientContext,
    next: (StreamingClientRequest<Input>, ClientContext) async throws -> StreamingClientResponse<Output>
  ) async throws -> StreamingClientResponse<Output> {
    if let refuse, context.descriptor.method == refuse {
      let number = count.with { count in
        count += 1
        return count
      }
      if number > after { throw RPCError(code: .internalError, message: "too many") }
    }
    var request = request
    headers?(&request.metadata)
    if let change = self.request {
      let produce = request.producer
      request.producer = { writer in
        try await produce(
          RPCWriter(
            wrapping: Changing(base: writer) { message in
              guard let changed = try change(message) as? Input else { return message }
              return changed
            }))
      }
    }
    do {
      var response = try await next(request, context)
      switch response.accepted {
      case .failure(let failure): response.accepted = .failure(error?(failure) ?? failure)
      case .success(var contents):
        let change = self.response
        let error = self.error
        let parts = contents.bodyParts
        contents.bodyParts = RPCAsyncSequence(
          wrapping: Mapped(base: parts) { part in
            guard case .message(let message) = part, let changed = try change?(message) as? Output else { return part }
            return .message(changed)
          } error: {
            error?($0) ?? $0
          })
        response.accepted = .success(contents)
      }
      return response
    } catch let failure as RPCError { throw error?(failure) ?? failure }
  }
}

private struct Changing<Element: Sendable>: RPCWriterProtocol {
  let base: RPCWriter<Element>
  let change: @Sendable (Element) throws -> Element
  func write(_ element: Element) async throws { try await base.write(try change(element)) }
  func write(contentsOf elements: some Sequence<Element>) async throws { for element in elements { try await write(element) } }
}

private struct Mapped<Base: AsyncSequence & Sendable>: AsyncSequence, Sendable where Base.Element: Sendable {
  typealias Element = Base.Element
  let base: Base
  let change: @Sendable (Element) throws -> Element
  let error: @Sendable (RPCError) -> RPCError

  struct Iterator: AsyncIteratorProtocol {
    var base: Base.AsyncIterator
    let change: @Sendable (Element) throws -> Element
    let error: @Sendable (RPCError) -> RPCError
    mutating func next() async throws -> Element? {
      do { return try await base.next().map(change) } catch let failure as RPCError { throw error(failure) }
    }
  }
  func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator(), change: change, error: error) }

  init(base: Base, change: @escaping @Sendable (Element) throws -> Element, error: @escaping @Sendable (RPCError) -> RPCError) {
    self.base = base
    self.change = change
    self.error = error
  }
}
