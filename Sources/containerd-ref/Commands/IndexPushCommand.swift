import ArgumentParser
import Foundation
import LazyImages
import OCI
import Protocols
import RegistryFetcher
import Synchronization

/// What is asked of an image in a registry.
struct RemoteImageOptions: ParsableArguments {
  @Argument(help: "The image, REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST.")
  var image: String
  @Option(help: ArgumentHelp("Which of an image for several platforms is meant (default: this machine's).", valueName: "OS/ARCHITECTURE[/VARIANT]"))
  var platform: String?
  @Flag(help: "Speak plain HTTP to the registry (loopback registries need no flag).")
  var plainHttp = false
  @Option(name: .shortAndLong, help: ArgumentHelp("Who to be at the registry.", valueName: "USER:PASSWORD"))
  var user: String?
  @OptionGroup var registries: RegistryOptions

  func validate() throws {
    if let platform, Self.parse(platform) == nil { throw ValidationError("--platform \"\(platform)\" must be like linux/amd64 or linux/arm64/v8") }
    if let user, !user.contains(":") { throw ValidationError("--user takes USER:PASSWORD") }
  }

  var wanted: Platform { platform.flatMap(Self.parse) ?? .host }

  private static func parse(_ text: String) -> Platform? {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard (2...3).contains(parts.count), !parts.contains("") else { return nil }
    return Platform(os: parts[0], architecture: parts[1], variant: parts.count == 3 ? parts[2] : "")
  }

  /// - Parameter other: a further repository, of the same standing as the image's.
  func with<Value: Sendable>(
    _ other: String?, _ body: @escaping @Sendable (_ repository: String, RegistryResolver) async throws -> Value
  ) async throws -> Value {
    let name = try ImageReference(parsing: image)
    let place = try other.map { try ImageReference(parsing: $0) } ?? name
    var configuration = registries.configuration()
    if plainHttp { configuration.plainHTTP.formUnion([name.registry, place.registry]) }
    if let user {
      let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      for registry in [name.registry, place.registry] { configuration.credentials[registry] = .init(user: parts[0], password: parts[1]) }
    }
    let resolver = RegistryResolver(configuration: configuration)
    do {
      let value = try await Interruption.guarding { try await body("\(place.registry)/\(place.repository)", resolver) }
      try await resolver.close()
      return value
    } catch {
      // What went wrong first is what to tell.
      try? await resolver.close()
      throw error
    }
  }
}

extension IndexCommand {
  struct Push: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Put indexes of an image's layers into its registry, for others to find.",
      discussion: """
        The image stays as it is. What is pushed is one artifact that refers to it, and "containerd-ref snapshotter serve" of any machine finds it. An index that \
        is not in --indexes is made of the layer, which is read from the registry for that. What a snapshotter has written down there of an image's first minutes \
        goes with it: whoever finds the index fetches that first.

          containerd-ref index push registry.example/team/app:1
          containerd-ref index push --indexes /var/lib/containerd-ref/snapshotter/indexes registry.example/team/app:1
        """)
    @OptionGroup var remote: RemoteImageOptions
    @Option(help: ArgumentHelp("A snapshotter's directory of indexes, ROOT/indexes: what is there is not made again.", valueName: "directory"))
    var indexes: String?
    @Option(help: ArgumentHelp("Another repository for the artifact, which only --index-trust any looks into.", valueName: "REGISTRY/REPOSITORY"))
    var to: String?
    @Flag(help: "Print the result as JSON, and no progress.")
    var json = false

    func run() async throws {
      let display = IndexProgress(quiet: json)
      let (image, wanted, indexes) = (remote.image, remote.wanted, indexes)
      let published = try await remote.with(to) { repository, resolver in
        try await IndexPublisher(resolver: resolver, indexes: indexes).publish(
          image, platform: wanted, to: repository, by: try resolver.pusher(for: repository)
        ) { display.update($0) }
      }
      display.finish()
      if json { return try Output.json(published) }
      var table = Table(["LAYER", "SIZE", "INDEX", "SIZE", "SPANS", "RECORDED", "FROM"])
      for row in published.layers {
        table.add([
          Self.short(row.layer), Human.size(row.layerSize), Self.short(row.index), Human.size(row.indexSize), "\(row.spans)",
          row.recorded.map { "\($0)" } ?? "-", row.isBuilt ? "layer" : "shelf",
        ])
      }
      Output.text(table.text)
      for row in published.skipped { Output.text("\(Self.short(row.layer)) has none: \(row.reason)\n") }
      let amount = published.pushed == 0 ? "nothing was missing" : "\(Human.size(published.pushed)) pushed"
      Output.text("\(published.repository)@\(published.artifact) refers to \(published.subject), \(amount)\n")
    }

    /// `sha256:` and twelve digits.
    static func short(_ digest: String) -> String { String(digest.prefix(19)) }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "List the indexes that refer to an image in its registry.",
      discussion: "Ours and SOCI's of version 1. What cannot be read is told on standard error.")
    @OptionGroup var remote: RemoteImageOptions
    @Option(name: .customLong("in"), help: ArgumentHelp("Another repository to look into.", valueName: "REGISTRY/REPOSITORY"))
    var place: String?
    @Flag(help: "Print JSON.")
    var json = false

    private struct Row: Encodable {
      var artifact: String
      var form: String
      /// Of the image's layers, how many it has an index of, of how many.
      var layers: Int
      var of: Int
      /// Of the indexes.
      var size: Int64
    }

    func run() async throws {
      let (image, wanted) = (remote.image, remote.wanted)
      let (known, listing) = try await remote.with(place) { repository, resolver in
        try await IndexPublisher(resolver: resolver).listing(
          image, platform: wanted, in: repository, by: ReferredIndexes(resolver: resolver, source: resolver, patience: .seconds(30)))
      }
      let layers = Set(known.layers.map(\.digest))
      let rows = listing.artifacts.map { artifact in
        let mine = artifact.indexes.filter { layers.contains($0.key) }
        return Row(
          artifact: "\(artifact.manifest.digest)", form: artifact.form.rawValue, layers: mine.count, of: layers.count,
          size: mine.values.reduce(0) { $0 + $1.size })
      }
      for failure in listing.failures { Failure.say(failure) }
      if rows.isEmpty, !listing.failures.isEmpty { throw ExitCode(1) }
      if json { return try Output.json(rows) }
      if rows.isEmpty { return Output.text("no artifact with indexes refers to \(known.reference)\n") }
      var table = Table(["ARTIFACT", "FORM", "LAYERS", "SIZE"])
      for row in rows { table.add([row.artifact, row.form, "\(row.layers) of \(row.of)", Human.size(row.size)]) }
      Output.text(table.text)
    }
  }
}

/// How far the making of indexes has come: on a terminal one line, redrawn in place; elsewhere a line for each layer that is done.
private final class IndexProgress: Sendable {
  private static let interval = Duration.milliseconds(80)
  private let quiet: Bool
  private let terminal = Terminal.isTerminal(2)
  private let drawn = Mutex<ContinuousClock.Instant?>(nil)

  init(quiet: Bool) { self.quiet = quiet }

  func update(_ step: IndexPublisher.Step) {
    if quiet { return }
    switch step {
    case .reading(let layer, let done, let size):
      guard terminal else { return }
      drawn.withLock { drawn in
        if let drawn, drawn.duration(to: .now) < Self.interval, done != size { return }
        drawn = .now
        Output.error("\r\(IndexCommand.Push.short("\(layer)")) \(Human.size(done))/\(Human.size(size))\u{1B}[K")
      }
    case .has(let row):
      let origin = row.isBuilt ? "made" : "from the shelf"
      line("\(IndexCommand.Push.short(row.layer)) \(Human.size(row.layerSize)): index of \(Human.size(row.indexSize)), \(origin)")
    case .left(let row): line("\(IndexCommand.Push.short(row.layer)): \(row.reason)")
    }
  }

  /// What is written next stands on a line of its own.
  func finish() { if terminal, !quiet { Output.error("\r\u{1B}[K") } }

  private func line(_ text: String) { Output.error((terminal ? "\r\u{1B}[K" : "") + text + "\n") }
}
