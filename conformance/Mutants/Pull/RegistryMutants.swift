import ConformanceKit
import ConformanceSuites
import Hashing
import Protocols

/// A registry's client around another.
struct ResolverWrapper: Resolver {
  typealias Fetch = @Sendable (_ base: any Fetcher, Descriptor, _ offset: Int64) async throws -> any ByteStream
  let base: any Resolver
  var onResolve: (@Sendable (any Resolver, String) async throws -> ResolvedImage)?
  var onFetcher: (@Sendable (any Resolver, String) throws -> any Fetcher)?
  var onFetch: Fetch?

  init(_ base: any Resolver, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }

  func resolve(_ reference: String) async throws -> ResolvedImage {
    if let onResolve { return try await onResolve(base, reference) }
    return try await base.resolve(reference)
  }
  func fetcher(for reference: String) throws -> any Fetcher {
    let fetcher = try onFetcher.map { try $0(base, reference) } ?? base.fetcher(for: reference)
    return onFetch.map { FetcherWrapper(base: fetcher, onFetch: $0) } ?? fetcher
  }
}

struct FetcherWrapper: Fetcher {
  let base: any Fetcher
  let onFetch: ResolverWrapper.Fetch
  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream { try await onFetch(base, descriptor, offset) }
}

/// A stream around another.
struct StreamWrapper: ByteStream {
  let base: any ByteStream
  var onNext: (@Sendable (any ByteStream) async throws -> [UInt8]?)?
  var onCancel: (@Sendable (any ByteStream) async -> Void)?
  func next() async throws -> [UInt8]? {
    if let onNext { return try await onNext(base) }
    return try await base.next()
  }
  func cancel() async { if let onCancel { await onCancel(base) } else { await base.cancel() } }
}

/// A stream that has ended.
struct EndedStream: ByteStream {
  func next() async throws -> [UInt8]? { nil }
  func cancel() async {}
}

/// Faults of resolvers and fetchers.
enum RegistryMutants {
  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout ResolverWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .fetch, kills: kills, symptom: symptom) {
      $0.wrap(RegistrySubject.self) { $0.resolver = ResolverWrapper($0.resolver, change) }
    }
  }

  static let all: [Mutant] = [
    mutant("identity-registry", "every call of a registry's client is handed on unchanged", kills: []) { _ in },
    mutant("registry-no-size", "a tag is resolved without its size", kills: ["registry.resolve.tag"], symptom: "size") {
      $0.onResolve = { base, name in
        var image = try await base.resolve(name)
        image.target.size = 0
        return image
      }
    },
    mutant("registry-other-digest", "a name with a digest is resolved to another", kills: ["registry.resolve.digest"], symptom: "digest") {
      $0.onResolve = { base, name in
        var image = try await base.resolve(name)
        if name.contains("@") { image.target.digest = Digest.of([]) }
        return image
      }
    },
    mutant("registry-absent-unavailable", "a name that is not there is told as an outage", kills: ["registry.resolve.absent"], symptom: "unavailable") {
      $0.onResolve = { base, name in
        do { return try await base.resolve(name) } catch let error as ContainerdError where error.code == .notFound {
          throw ContainerdError.unavailable(error.message)
        }
      }
    },
    mutant("registry-malformed-absent", "what is no name is not found", kills: ["registry.resolve.malformed"], symptom: "not found") {
      $0.onResolve = { base, name in
        do { return try await base.resolve(name) } catch let error as ContainerdError where error.code == .invalidArgument {
          throw ContainerdError.notFound(error.message)
        }
      }
    },
    mutant("registry-manifest-line", "a manifest gets a line's end", kills: ["registry.fetch.manifest"], symptom: "other bytes") {
      $0.onFetch = { base, descriptor, offset in
        let stream = try await base.fetch(descriptor, from: offset)
        if !descriptor.mediaType.contains("manifest") { return stream }
        let ended = Kept(false)
        return StreamWrapper(base: stream) { stream in
          if let bytes = try await stream.next() { return bytes }
          return ended.with { ended -> [UInt8]? in
            defer { ended = true }
            return ended ? nil : [10]
          }
        }
      }
    },
    mutant("M109", "a blob ends early, without a word", kills: ["registry.fetch.whole"], symptom: "or other ones") {
      $0.onFetch = { base, descriptor, offset in
        let left = Kept(descriptor.size - offset - 1)
        return StreamWrapper(base: try await base.fetch(descriptor, from: offset)) { stream in
          guard let bytes = try await stream.next() else { return nil }
          let some = left.with { left -> [UInt8] in
            let some = Array(bytes.prefix(Int(max(0, left))))
            left -= Int64(some.count)
            return some
          }
          return some.isEmpty ? nil : some
        }
      }
    },
    mutant("registry-empty-chunks", "a chunk may be empty", kills: ["registry.fetch.whole"], symptom: "an empty chunk") {
      $0.onFetch = { base, descriptor, offset in
        let turn = Kept(false)
        return StreamWrapper(base: try await base.fetch(descriptor, from: offset)) { stream in
          let empty = turn.with { value in
            value.toggle()
            return value
          }
          return empty ? [] : try await stream.next()
        }
      }
    },
    mutant("registry-from-the-start", "a fetch begins at the start, wherever it was to begin", kills: ["registry.fetch.resume"], symptom: "or other ones") {
      $0.onFetch = { base, descriptor, offset in
        _ = try await base.fetch(descriptor, from: offset)
        return try await base.fetch(descriptor, from: 0)
      }
    },
    mutant("registry-beyond-is-empty", "a fetch beyond the end has nothing to give", kills: ["registry.fetch.beyond"], symptom: "it succeeded") {
      $0.onFetch = { base, descriptor, offset in
        if offset > descriptor.size { return EndedStream() }
        return try await base.fetch(descriptor, from: offset)
      }
    },
    mutant("registry-absent-is-empty", "a blob that is not there is fetched as nothing", kills: ["registry.fetch.absent"], symptom: "it succeeded") {
      $0.onFetch = { base, descriptor, offset in
        do { return try await base.fetch(descriptor, from: offset) } catch let error as ContainerdError where error.code == .notFound { return EndedStream() }
      }
    },
    mutant("registry-cancel-stays", "after a stream was given up the connection is of no use", kills: ["registry.fetch.cancel"], symptom: "connection") {
      let broken = Kept(false)
      $0.onFetch = { base, descriptor, offset in
        if broken.now { throw ContainerdError.unavailable("the connection was closed") }
        let ended = Kept(false)
        return StreamWrapper(
          base: try await base.fetch(descriptor, from: offset),
          onNext: { stream in
            let bytes = try await stream.next()
            if bytes == nil { ended.set(true) }
            return bytes
          },
          onCancel: { stream in
            if !ended.now { broken.set(true) }
            await stream.cancel()
          })
      }
    },
    mutant("registry-one-at-a-time", "one blob is fetched at a time, a second is refused", kills: ["registry.fetch.at-once"], symptom: "busy") {
      let busy = Kept(0)
      $0.onFetch = { base, descriptor, offset in
        let number = busy.with { value in
          value += 1
          return value
        }
        defer { busy.with { $0 -= 1 } }
        if number > 1 { throw ContainerdError.unavailable("busy with another blob") }
        let stream = try await base.fetch(descriptor, from: offset)
        try await Task.sleep(for: .milliseconds(10))
        return stream
      }
    },
  ]
}
