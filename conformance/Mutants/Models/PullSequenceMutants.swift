import ConformanceKit
import ConformanceModels
import ConformanceWireSuites
import Protocols

/// Faults of clients that pull which only some faults of registries show.
enum PullSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD71", "bytes that were refused are kept, and gone on with", symptom: "next pull") { subject in
      rebuild(&subject, content: { ContentStoreWrapper($0) { $0.onAbort = { _, _ in } } })
    },
    mutant("MD72", "a pull that failed for another reason than a digest is told as done", symptom: "the store has nothing") { subject in
      let pull = subject.pull
      subject.pull = { reference in
        var ending = try await pull(reference)
        if !ending.said.contains("digest") { ending.succeeded = true }
        return ending
      }
    },
    mutant("MD73", "a pull that failed is remembered, and fails again", symptom: "the next pull") { subject in
      let failed = Memory<PullSubject.Ending?>(nil)
      let pull = subject.pull
      subject.pull = { reference in
        if let ending = failed.value { return ending }
        let ending = try await pull(reference)
        if !ending.succeeded { failed.with { $0 = ending } }
        return ending
      }
    },
    mutant("MD74", "a blob that is asked for a second time is waited for for ever", symptom: "an end within") { subject in
      rebuild(
        &subject,
        resolver: {
          let asked = Memory<[Digest: Int]>([:])
          return ResolverWrapper($0) {
            $0.onFetch = { base, descriptor, offset in
              let times = asked.with { asked in
                asked[descriptor.digest, default: 0] += 1
                return asked[descriptor.digest, default: 0]
              }
              if times > 1 { try await Task.sleep(for: .seconds(3600)) }
              return try await base.fetch(descriptor, from: offset)
            }
          }
        })
    },
    mutant("MD75", "an error in the middle of a body is none of the contract's", symptom: "an error of the contract's classes") { subject in
      struct Broken: Error {}
      rebuild(
        &subject,
        resolver: {
          ResolverWrapper($0) {
            $0.onFetch = { base, descriptor, offset in
              StreamWrapper(base: try await base.fetch(descriptor, from: offset)) { stream in
                do { return try await stream.next() } catch { throw Broken() }
              }
            }
          }
        })
    },
  ]

  private static func rebuild(
    _ subject: inout PullSubject, resolver: (any Resolver) -> any Resolver = { $0 }, content: (any ContentStore) -> any ContentStore = { $0 }
  ) {
    guard let around = subject.around else { return }
    subject = around(resolver, content)
  }

  private static func mutant(_ id: String, _ sentence: String, symptom: String, _ change: @escaping @Sendable (inout PullSubject) -> Void) -> Mutant {
    Mutant(id, sentence, in: .fetch, on: "inproc:pull", kills: ["pull.model.faults"], symptom: symptom, scope: ["pull.model"]) {
      $0.wrap(PullSubject.self) { change(&$0) }
    }
  }
}
