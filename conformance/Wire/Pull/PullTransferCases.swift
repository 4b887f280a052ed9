import ConformanceSuites
import Hashing
import OCI
import Protocols

extension PullSuite {
  static let transferring: [ContractCase<PullSubject>] = [
    pullCase(
      "transfer.chunked", "a blob may come in chunks without a length", "FE-08; DS-13, HTTP-04",
      why: "images cannot be pulled through proxies that re-chunk", threads: ["containerd/containerd#5124"]
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in reply.length = .chunked }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a blob in chunks", image)
    },
    pullCase(
      "transfer.until-close", "a blob may end with its connection", "FE-08; HTTP-04", level: .should, why: "images cannot be pulled from simple servers"
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in reply.length = .untilClose }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a blob without a length", image)
    },
    pullCase("transfer.slow", "a blob that comes slowly comes all the same", "FE-25; PUL-04", why: "pulls over thin lines fail") { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in reply.pace = (5000, 60) }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a slow blob", image)
    },
    pullCase(
      "transfer.stalled", "a transfer that falls silent is ended, or begun again", "FE-25; PUL-04", needs: [.idleTimeout], why: "a pull hangs for ever"
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, request in if request.number == 1 { reply.stallAfter = 10_000 } }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "a blob that falls silent", image)
    },
    pullCase(
      "transfer.cut-always", "a blob whose connection always ends early is never stored short", "FE-05; DS-14; IM-06",
      why: "a layer lacks its end, and containers lack files",
      threads: ["containerd/containerd#5921", "containerd/containerd#6117", "containerd/containerd#3974"]
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in
        reply.length = .claimed(reply.body.count)
        reply.cutAfter = min(20_000, reply.body.count / 2)
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "a connection that always ends early", image)
    },
    pullCase(
      "transfer.cut-without-length", "a blob in chunks whose connection ends early is never stored short", "FE-05, FE-08; IM-06, CON-30",
      why: "a layer lacks its end, and containers lack files"
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in
        reply.length = .untilClose
        reply.body = Array(reply.body.prefix(20_000))
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "a body without a length that ends early", image)
    },
    pullCase(
      "transfer.cut-once", "a connection that breaks once is taken up again", "FE-05; DS-17", level: .should,
      why: "a pull of gigabytes begins anew, or fails, for one lost packet", threads: ["containerd/containerd#5921"]
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, request in
        if request.number == 1 { reply.cutAfter = 20_000 }
      }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a connection that breaks once", image)
    },
    pullCase(
      "transfer.reset-once", "a connection that is reset never leaves wrong bytes", "FE-26; IM-06, CON-30", why: "a layer is stored damaged"
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, request in
        if request.number == 1 { (reply.cutAfter, reply.reset) = (20_000, true) }
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "a connection that is reset", image)
    },
    pullCase(
      "transfer.range-ignored", "a registry that answers a ranged request with everything does not double the beginning", "FE-06; DS-17, CON-30",
      why: "the beginning of a layer stands twice in it, or no interrupted pull ever ends", threads: ["containerd/containerd#12291"]
    ) { subject, registry, image in
      registry.script { request, registry in
        guard request.kind == .blob("\(image.layers[0].descriptor.digest)") else { return nil }
        var plain = request
        plain.headers["range"] = nil
        var reply = registry.usual(plain)
        if request.number == 1 { reply.cutAfter = 20_000 }
        return reply
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "a registry without ranges", image)
    },
    pullCase(
      "transfer.wrong-range", "a part that is not the one asked for is not taken for it", "FE-07; DS-17, CON-30",
      why: "a layer is put together of the wrong pieces",
      threads: ["containerd/containerd#12291"]
    ) { subject, registry, image in
      let bytes = image.layers[0].bytes
      registry.change(blob: image.layers[0].descriptor.digest) { reply, request in
        if request.number == 1 { reply.cutAfter = 20_000 }
        if request.start > 0 {
          reply = RegistryReply(206, [("Content-Range", "bytes 7-\(bytes.count - 1)/\(bytes.count)")], Array(bytes.dropFirst(7)))
        }
      }
      try await subject.expectTruth(try await subject.pulling(name(registry)), "parts from elsewhere", image)
    },
    pullCase(
      "transfer.busy", "after 429 with Retry-After the client waits and comes back", "FE-04; PUL-03, HTTP-03", level: .should,
      why: "busy registries cannot be pulled from"
    ) { subject, registry, image in
      registry.script { request, _ in
        request.kind == .blob("\(image.layers[0].descriptor.digest)") && request.number == 1 ? .error(429, "TOOMANYREQUESTS", [("Retry-After", "1")]) : nil
      }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a registry that is busy once", image)
    },
    pullCase(
      "transfer.server-error-once", "a blob that fails once with 503 is asked for again", "FE-04; PUL-03", level: .should,
      why: "a pull fails for a hiccup of the registry"
    ) { subject, registry, image in
      registry.script { request, _ in
        request.kind == .blob("\(image.layers[0].descriptor.digest)") && request.number == 1 ? .error(503, "UNAVAILABLE") : nil
      }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "a registry that fails once", image)
    },
    pullCase(
      "transfer.server-error-always", "a registry that only fails is given up after a few attempts", "FE-04; PUL-03",
      why: "the client hammers a registry that is down"
    ) { subject, registry, image in
      registry.script { request, _ in request.isBlob ? .error(500, "UNKNOWN") : nil }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "a registry that only fails", image)
      try expect(registry.requests.count <= 120, "\(registry.requests.count) requests to a registry that only fails")
    },
    pullCase(
      "transfer.at-once", "no more blobs are fetched at once than the client promises, and more than one", "FE-18; PUL-05",
      why: "registries refuse clients that open too many connections"
    ) { subject, registry, _ in
      guard let most = subject.parallelism else { throw CaseSkipped(.capability, "the client promises no number of blobs at once") }
      let image = TestImage(layers: 10, bytes: 4000)
      image.add(to: registry, tag: "many")
      registry.script { request, registry in
        guard request.isBlob else { return nil }
        var reply = registry.usual(request)
        reply.pace = (2000, 25)
        return reply
      }
      try await subject.expectWhole(try await subject.pulling("\(registry.host)/case/image:many"), "ten layers", image)
      try expect((2...most).contains(registry.mostInFlight), "\(registry.mostInFlight) blobs were fetched at once: expected 2 to \(most)")
    },
  ]

  private static func lie(
    _ what: String, _ sentence: String, _ source: String, why: String, threads: [String] = [],
    _ change: @escaping @Sendable (inout RegistryReply) -> Void
  ) -> ContractCase<PullSubject> {
    pullCase("lie.\(what)", sentence, source, why: why, threads: threads) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, request in
        if request.start == 0 { change(&reply) }
      }
      try await subject.expectFailure(try await subject.pulling(name(registry)), sentence, image)
    }
  }

  static let lying: [ContractCase<PullSubject>] = [
    lie("wrong-bytes", "a blob of the right size with other bytes is refused", "FE-15; DS-15, CON-30", why: "a registry has anybody run anything") { reply in
      if reply.body.count > 100 { reply.body[100] ^= 1 }
    },
    lie("longer", "a blob longer than its descriptor says is refused", "FE-14; IM-06, CON-30", why: "a registry fills the disk of whoever pulls") { reply in
      reply.body += [UInt8](repeating: 0, count: 5000)
    },
    lie("shorter", "a blob shorter than its descriptor says is refused", "FE-14; IM-06, CON-30", why: "a layer lacks its end") { reply in
      reply.body.removeLast(5000)
    },
    lie(
      "html", "a page of HTML with status 200 is no layer", "FE-09; IM-04, CON-30", why: "a captive portal's page is stored as a layer",
      threads: ["containerd/containerd#9552"]
    ) {
      reply in reply = .text(200, "text/html", "<html><body>Please sign in</body></html>")
    },
    lie(
      "empty", "nothing with status 200 is no layer", "FE-09; IM-06, CON-30", why: "an empty layer hides what the image needs",
      threads: ["containerd/containerd#9552"]
    ) {
      reply in reply.body = []
    },
    pullCase(
      "lie.then-right", "after a pull that failed for wrong bytes, the next one from a sound registry succeeds", "FE-15; CON-07",
      why: "one bad answer blocks an image until somebody cleans up by hand", threads: ["containerd/containerd#1893", "containerd/containerd#1232"]
    ) { subject, registry, image in
      registry.change(blob: image.layers[0].descriptor.digest) { reply, _ in if reply.body.count > 100 { reply.body[100] ^= 1 } }
      try await subject.expectFailure(try await subject.pulling(name(registry)), "wrong bytes", image)
      registry.script { _, _ in nil }
      try await subject.expectWhole(try await subject.pulling(name(registry)), "the same registry, sound again", image)
    },
    pullCase(
      "lie.embedded-data", "bytes embedded in a descriptor are not used if they are not the blob's", "FE-22; IM-05, CON-30",
      why: "whoever writes a manifest has another config run than its digest says"
    ) { subject, registry, _ in
      // Four bytes of "nope" stand where the config should.
      let image = TestImage { descriptor in
        descriptor.mediaType == MediaType.ociConfig ? String(TestImage.json(descriptor).dropLast()) + #","data":"bm9wZQ=="}"# : TestImage.json(descriptor)
      }
      image.add(to: registry, tag: "data")
      let ending = try await subject.pulling("\(registry.host)/case/image:data")
      try await subject.expectTruth(ending, "a config with other bytes embedded", image)
    },
  ]
}
