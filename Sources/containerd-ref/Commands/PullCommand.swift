import ArgumentParser
import CLinux
import ContainerdClient
import Foundation
import Hashing
import ImagePull
import ImageUnpack
import OCI
import Protocols
import RegistryFetcher

struct PullCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull", abstract: "Pull an image into the daemon's store, and unpack it.",
    discussion: """
      What has arrived is not fetched again: an interrupted pull goes on where it stopped.

        containerd-ref pull 127.0.0.1:5000/demo:latest
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "The image, REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST.")
  var reference: String
  @Option(help: "The snapshotter to unpack into.")
  var snapshotter = "overlayfs"
  @Flag(help: "Only fetch; unpack nothing.")
  var fetchOnly = false
  @Flag(help: "Speak plain HTTP to the registry (loopback registries need no flag).")
  var plainHttp = false
  @Option(name: .shortAndLong, help: "USER:PASSWORD for the registry.")
  var user: String?
  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() async throws {
    let image = try ImageReference(parsing: reference)
    var configuration = RegistryResolver.Configuration()
    if plainHttp { configuration.plainHTTP.insert(image.registry) }
    if let user {
      let parts = user.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ValidationError("--user takes USER:PASSWORD") }
      configuration.credentials[image.registry] = .init(user: parts[0], password: parts[1])
    }
    let resolver = RegistryResolver(configuration: configuration)
    let display = ProgressDisplay(quiet: json)
    do {
      let pulled = try await client.connect { try await pull(through: $0, resolver, display) }
      try await resolver.close()
      if json {
        print("{\"name\":\"\(pulled.name)\",\"digest\":\"\(pulled.target.digest)\",\"layers\":\(pulled.layers.count)}")
      } else {
        print("\(pulled.name) \(pulled.target.digest)")
      }
    } catch {
      try await resolver.close()
      throw error
    }
  }

  private func pull(through connection: ContainerdClient, _ resolver: RegistryResolver, _ display: ProgressDisplay) async throws -> PulledImage {
    try await connection.leased { leased in
      let content = leased.content
      let pulled = try await ImagePuller(resolver: resolver, content: content).pull(reference) { display.update($0) }
      display.finish()
      let record = ImageRecord(name: pulled.name, target: pulled.target)
      do { _ = try await leased.images.create(record) } catch let error as ContainerdError where error.code == .alreadyExists {
        _ = try await leased.images.update(record, fields: ["target"])
      }
      if !fetchOnly {
        let unpacker = ImageUnpacker(
          content: content, snapshotter: leased.snapshotter(snapshotter), snapshotterName: snapshotter, applier: leased.applier, hash: { Digest.of($0) })
        _ = try await unpacker.unpack(config: pulled.config, layers: pulled.layers) { display.unpacking($0, of: $1) }
      }
      return pulled
    }
  }
}

struct ImagesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "images", abstract: "List the images that the daemon has.")

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.")
  var json = false

  func run() async throws {
    let images = try await client.connect { try await $0.images.list(.all) }
    if json {
      struct Row: Encodable {
        var name: String
        var digest: String
        var mediaType: String
        var createdAt: String
      }
      let rows = images.map { Row(name: $0.name, digest: $0.target.digest.description, mediaType: $0.target.mediaType, createdAt: $0.createdAt.description) }
      print(String(decoding: try JSONEncoder().encode(rows), as: UTF8.self))
      return
    }
    let width = max(4, images.map(\.name.count).max() ?? 0)
    print("NAME".padding(toLength: width + 2, withPad: " ", startingAt: 0) + "DIGEST")
    for image in images { print(image.name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + image.target.digest.description) }
  }
}
