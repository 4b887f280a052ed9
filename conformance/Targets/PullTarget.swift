import BlockingIO
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import Hashing
import ImagePull
import LocalContentStore
import Protocols
import RegistryFetcher
import SystemKit
import TestSupport

extension Target {
  /// `inproc:pull`: the registry client and the puller of this package, on the local content store.
  static func pull(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.idleTimeout])
    target[PullSubject.self] = { workspace in
      let content = try LocalContentStore(root: workspace.directory + "/content")
      let resolver = RegistryResolver(
        configuration: RegistryResolver.Configuration(attempts: 4, firstPause: .milliseconds(20), idleTimeout: .milliseconds(Int(1500 * workspace.patience))))
      workspace.endings.add { try await resolver.close() }
      var subject = client(resolver, content)
      subject.around = { client($0(resolver), $1(content)) }
      return subject
    }
    return target
  }

  private static func client(_ resolver: any Resolver, _ content: any ContentStore) -> PullSubject {
    var subject = PullSubject(parallelism: 3) { digest in
      do { return try await content.readAll(digest) } catch let error as ContainerdError where error.code == .notFound { return nil }
    } pull: { reference in
      do {
        let image = try await ImagePuller(resolver: resolver, content: content, parallelism: 3).pull(reference)
        return .init(succeeded: true, said: "\(image.target.digest)")
      } catch { return .init(succeeded: false, said: "\(error)", untyped: !(error is ContainerdError)) }
    }
    subject.endsSilence = true
    return subject
  }

  /// `registry-client:COMMAND`: any program that pulls images. `{ref}` in the command is the image's name on a plain HTTP registry, `{dir}` an empty
  /// directory of the case, `{id}` a name that only this case has; behind `&verify=` a command that writes the blob `{digest}` (`{hex}` without its algorithm) to standard output, or fails.
  static func registryClient(_ address: String) throws -> Target? {
    let scheme = "registry-client:"
    guard address.hasPrefix(scheme) else { return nil }
    let parts = address.dropFirst(scheme.count).split(separator: "&verify=", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, parts[0].contains("{ref}") else {
      throw SuiteError("\(address): give a line of shell with {ref} in it, such as registry-client:skopeo copy --src-tls-verify=false docker://{ref} oci:{dir}")
    }
    var target = Target(address: address)
    target[PullSubject.self] = { workspace in
      let directory = workspace.directory + "/client"
      try Files.makeDirectories(directory)
      let id = "conformance-\(UInt32.random(in: 0...UInt32.max))"
      let filled: @Sendable (String, String, Digest?) -> String = { text, reference, digest in
        text.replacing("{ref}", with: Shell.word(reference)).replacing("{dir}", with: directory).replacing("{id}", with: id)
          .replacing("{digest}", with: digest?.description ?? "").replacing("{hex}", with: digest?.hex ?? "")
      }
      var subject = PullSubject(limit: Int(90 * workspace.patience)) { reference in
        let line = filled(parts[0], reference, nil)
        let (status, output) = try await ShellCommand.run(line)
        workspace.record.add("pull \(reference)", command: line, outcome: status == 0 ? "done" : "ended with \(status): \(output.suffix(500))")
        // The shell did not find the program: not the client's failure.
        if status == 127 { throw CaseSkipped(.tool, output) }
        return .init(succeeded: status == 0, said: output)
      }
      if parts.count == 2 {
        subject.stored = { digest in
          let path = workspace.directory + "/blob"
          let line = filled(parts[1], "", digest)
          let (status, output) = try await ShellCommand.run("{ \(line)\n} > \(Shell.word(path))")
          workspace.record.add("look for \(digest)", command: line, outcome: status == 0 ? "there" : "not there: \(output.suffix(200))")
          return status == 0 ? try await DedicatedThread.run { try Files.read(path, limit: 1 << 30) } : nil
        }
      }
      return subject
    }
    return target
  }
}

enum ShellCommand {
  /// Runs a line of shell to its end; standard output and error come together.
  static func run(_ line: String) async throws -> (status: Int32, output: String) {
    try await DedicatedThread.run { try TestSupport.run(["/bin/sh", "-c", line]) }
  }
}
