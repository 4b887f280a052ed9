import ConformanceKit
import ConformanceModels
import ConformanceWireSuites
import Protocols

/// Faults of clients that pull which only some faults of registries show.
enum PullSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD71", "a transfer that is taken up again begins anew, behind the bytes that are there", symptom: "next pull") { subject in
      rebuild(
        &subject,
        resolver: { ResolverWrapper($0) { $0.onFetch = { base, descriptor, offset in try await base.fetch(descriptor, from: offset > 0 ? 0 : offset) } } })
    },
    mutant("MD72", "what was begun once is committed whatever it is", symptom: "the store has nothing") { subject in
      let opened = Memory<Set<String>>([])
      rebuild(
        &subject,
        content: {
          ContentStoreWrapper($0) { store in
            store.onWriter = { base, ref, expected in
              let again = opened.with { !$0.insert(ref).inserted }
              let writer = try await base.writer(ref: ref, expected: again ? IngestExpectation() : expected)
              return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) { wrapper in
                wrapper.onCommit = { writer, expected, labels in try await writer.base.commit(again ? IngestExpectation() : expected, labels: labels) }
              }
            }
          }
        })
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
    mutant("MD74", "a blob that was broken off and then refused is waited for for ever", symptom: "an end within") { subject in
      rebuild(
        &subject,
        resolver: {
          let broken = Memory<Set<Digest>>([])
          return ResolverWrapper($0) {
            $0.onFetch = { base, descriptor, offset in
              if offset > 0 { broken.with { _ = $0.insert(descriptor.digest) } }
              do { return try await base.fetch(descriptor, from: offset) } catch {
                if broken.value.contains(descriptor.digest) { try await Task.sleep(for: .seconds(3600)) }
                throw error
              }
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
