import ConformanceSuites
import ConformanceWireSuites
import InMemoryFakes
import Protocols

/// A call that is made to fail: the n-th of one operation.
struct FaultPoint: Hashable, Sendable, CustomStringConvertible {
  var operation: String
  var number: Int
  var description: String { "call \(number) of \(operation)" }

  /// Every call on the tape; without `all`, only the first and the last of each operation.
  static func points(of calls: [Tape.Call], all: Bool) -> [FaultPoint] {
    var counts: [String: Int] = [:]
    for call in calls { counts[call.name, default: 0] += 1 }
    return counts.sorted { $0.key < $1.key }.flatMap { operation, count in
      (all ? Array(1...count) : Array(Set([1, count])).sorted()).map { FaultPoint(operation: operation, number: $0) }
    }
  }
}

extension PipelineSubject {
  /// Classes that no pipeline has a reason to take for anything else. A program is tried with one that every client knows.
  var classes: [ContainerdError.Code] { isHere ? [.permissionDenied, .resourceExhausted, .unavailable] : [.notImplemented] }

  /// Unpacks an image once for every fault, each time with fresh parts, and hands over what came of it.
  func sweep(
    _ parts: Set<Tape.Part>, image: PipelineImage = PipelineImage(salt: 1, layers: 2), classes: [ContainerdError.Code]? = nil, lost: Bool = false,
    only operations: Set<String>? = nil,
    _ judge: @Sendable (BoundaryScene, FaultPoint, ContainerdError, ContainerdError?) async throws -> Void
  ) async throws {
    let classes = classes ?? self.classes
    try await FaultyRegistry.with { registry in
      let good = try await BoundaryScene(self, .fakes, image: image, registry: registry)
      try await good.unpack()
      let chosen = good.tape.calls.filter { call in parts.contains(call.part) && operations?.contains(call.name) != false }
      let points = FaultPoint.points(of: chosen, all: isHere)
      if points.isEmpty { throw CaseSkipped(.capability, "the suite sees no call of \(parts.map(\.rawValue).sorted().joined(separator: ", ")) here") }
      note("\(points.count) calls, \(classes.count) classes of errors")
      for point in points {
        for code in classes {
          let injected = ContainerdError(code, "injected by the suite into \(point)")
          let scene = try await BoundaryScene(self, .fakes, image: image, registry: registry)
          scene.tape.faults.add(lost ? .failAfter(injected) : .fail(injected), to: point.operation, call: point.number)
          let failure = try await scene.failure { try await scene.unpack() }
          try await judge(scene, point, injected, failure)
        }
      }
    }
  }
}

extension BoundarySuite {
  private static func classes(_ id: String, _ part: Tape.Part, _ what: String, why: String) -> ContractCase<PipelineSubject> {
    ContractCase(
      "boundaries.failures.class-of-\(id)", "an error of \(what), at whatever call, reaches the caller in its own class, or does no harm",
      "\(law) 1; LB-10; ContainerdError; LAW-01, REF-V04",
      why: why
    ) { subject in
      try await subject.sweep([part]) { scene, point, injected, failure in
        guard let failure else {
          // It was tried again, or not needed.
          try await scene.expectWhole("\(point) failed with \"\(injected.code.rawValue)\", and the caller was told of success")
          return
        }
        try expectEqual(failure.code.rawValue, injected.code.rawValue, "class that the caller saw when \(point) failed (\(failure))")
      }
    }
  }

  private static func held(_ id: String, _ part: Tape.Part, _ what: String) -> ContractCase<PipelineSubject> {
    ContractCase(
      "boundaries.failures.nothing-held-after-\(id)", "after an error of \(what) no writer, reader or stream stays open, and no snapshot active",
      "\(law) 8; LB-10; LAW-08",
      why: "each failed pull would lock a blob or fill the disk, until somebody restarts the daemon", threads: ["containerd/containerd#1232"]
    ) { subject in
      try await subject.sweep([part], classes: [subject.classes[0]]) { scene, point, _, _ in
        try await scene.expectNothingHeld("after \(point) failed")
      }
    }
  }

  static let failing: [ContractCase<PipelineSubject>] = [
    classes("registry", .registry, "the registry", why: "a caller that is told another class tries again what never works, or gives up what would have"),
    classes("content", .content, "the content store", why: "a full disk is reported as a broken image, and the operator looks in the wrong place"),
    classes("snapshotter", .snapshots, "the snapshotter", why: "a backend's refusal is reported as a broken image, and the operator looks in the wrong place"),
    classes("applier", .applier, "the applier", why: "an archive that cannot be unpacked looks like a registry that cannot be reached"),
    held("registry", .registry, "the registry"),
    held("content", .content, "the content store"),
    held("snapshotter", .snapshots, "the snapshotter"),
    held("applier", .applier, "the applier"),
    ContractCase(
      "boundaries.failures.removes-its-key", "when a layer cannot be applied or committed, the key that was prepared for it is removed",
      "\(law) 8; LB-04; ImageUnpacker; LAW-08",
      why: "the next attempt finds half a layer, or the disk fills with them"
    ) { subject in
      try await subject.sweep([.applier, .snapshots], classes: [subject.classes[0]], only: ["applier.apply", "snapshots.commit"]) { scene, point, _, failure in
        try expect(failure != nil, "\(point) failed, and the caller was told of success")
        let order = LayerOrder(calls: scene.tape.calls, image: scene.image)
        for prepare in order.prepared {
          try expect(order.end(of: prepare.arguments[0]) != nil, "after \(point) failed, \(prepare) was neither committed nor removed")
        }
        let removed = scene.tape.calls.filter { $0.name == "snapshots.remove" && $0.succeeded }
        try expect(!removed.isEmpty, "after \(point) failed, nothing was removed")
      }
    },
    ContractCase(
      "boundaries.failures.first-cause", "when taking back fails too, the caller is told what went wrong first", "\(law) 1; LB-10; LAW-01",
      why: "the operator is sent after the consequence, and never sees the cause"
    ) { subject in
      let code = subject.classes[0]
      try await subject.sweep([.applier], classes: [code]) { scene, point, _, _ in
        let again = try await BoundaryScene(subject, .fakes, image: scene.image, registry: scene.registry)
        again.tape.faults.add(.fail(ContainerdError(code, "first")), to: point.operation, call: point.number)
        again.tape.faults.add(.fail(ContainerdError(.failedPrecondition, "second")), to: "snapshots.remove")
        let failure = try await again.failure { try await again.unpack() }
        try expectEqual(
          failure?.code.rawValue ?? "success", code.rawValue,
          "class that the caller saw when \(point) failed, and then the removal (\(failure?.description ?? ""))")
      }
    },
    ContractCase(
      "boundaries.failures.lost-answers", "when only the answer of a commit or an update is lost, nothing stays active and the next attempt succeeds",
      "\(law) 8; LB-10, LB-11; LAW-08",
      why: "a connection that breaks at the wrong moment makes an image unusable for ever"
    ) { subject in
      let operations: Set = ["content.commit", "content.update", "snapshots.commit"]
      try await subject.sweep([.content, .snapshots], classes: [subject.classes[0]], lost: true, only: operations) { scene, point, _, _ in
        try await scene.expectNothingHeld("after the answer of \(point) was lost")
        scene.tape.faults.clear()
        let failure = try await scene.failure { try await scene.unpack() }
        try expect(failure == nil, "after the answer of \(point) was lost, the next attempt failed: \(failure?.description ?? "")")
        try await scene.expectWhole("after the answer of \(point) was lost, and another attempt")
      }
    },
    ContractCase(
      "boundaries.failures.cancelled", "a pull that is cancelled at any call ends soon and holds nothing", "\(law) 8; LB-10; FE-17; LAW-08",
      needs: [.inProcess],
      why: "who presses Ctrl-C leaves locks and half layers behind", threads: ["containerd/containerd#5675"]
    ) { subject in
      let image = PipelineImage(salt: 1, layers: 2)
      try await FaultyRegistry.with { registry in
        let good = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
        try await good.unpack()
        for point in FaultPoint.points(of: good.tape.calls.filter { $0.name != "registry.fetcher" }, all: false) {
          let scene = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
          scene.tape.faults.add(.delay(.seconds(600)), to: point.operation, call: point.number)
          let (subject, reference, parts) = (subject, scene.reference, scene.parts)
          let work = Task { try await subject.unpack(reference, parts) }
          try await eventually("\(point) begins") { scene.tape.calls(named: point.operation).count >= point.number ? true : nil }
          work.cancel()
          let result = try await inTime("the end of a pull that was cancelled in \(point)", seconds: 10) { await work.result }
          if case .success = result { throw Mismatch(description: "a pull that was cancelled in \(point) ended with success") }
          try await scene.expectNothingHeld("after a cancellation in \(point)")
          scene.tape.faults.clear()
          try await scene.unpack()
          try await scene.expectWhole("after a cancellation in \(point), and another attempt")
        }
      }
    },
  ]
}
