import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Foundation
import SystemKit

extension Target {
  /// `oci-runtime:PROGRAM?cgroups=disabled`: the command line of an OCI runtime. `refrun` alone means the one beside this program.
  static func ociRuntime(_ address: String) throws -> Target? {
    guard let (program, options) = try programAddress(address, scheme: "oci-runtime:") else { return nil }
    let command = RuntimeCommand(program: program, cgroups: options["cgroups"])
    var target = Target(address: address, capabilities: command.cgroups ? [.programs, .cgroups] : [.programs])
    target[OCIRuntimeSubject.self] = { workspace in
      let record = workspace.record
      let directory = workspace.directory
      // A script has a directory and a mark of its own. Marks of sites begin with the workspace's.
      @Sendable func elsewhere(_ text: String) -> String {
        text.replacing(directory, with: "@WORK@").replacing(/conformance-[0-9]+(-[0-9]+)*/, with: "@MARK@")
      }
      return OCIRuntimeSubject(
        command: command.words, directory: directory, patience: workspace.patience, seed: workspace.seed, mark: workspace.mark
      ) { text, command, outcome, script, answer in
        record.add(
          text, command: command, outcome: outcome, script: script.map { elsewhere(Shell.line($0)) }, answer: answer.map(elsewhere))
      }
    }
    return target
  }

  /// The program and the options of an address; nil if it is of another scheme.
  static func programAddress(_ address: String, scheme: String) throws -> (program: String, options: [String: String])? {
    guard address.hasPrefix(scheme) else { return nil }
    let parts = address.dropFirst(scheme.count).split(separator: "?", maxSplits: 1).map(String.init)
    guard let name = parts.first else { throw SuiteError("\(address): a program must follow \(scheme)") }
    var options: [String: String] = [:]
    for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
      let words = pair.split(separator: "=", maxSplits: 1).map(String.init)
      options[words[0]] = words.count > 1 ? words[1] : ""
    }
    return (try program(named: name, in: address), options)
  }

  /// A path as it is; a name beside this program, or else in PATH.
  private static func program(named name: String, in address: String) throws -> String {
    if name.contains("/") {
      guard access(name, X_OK) == 0 else { throw SuiteError("\(address): \(name) is no program") }
      return name
    }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let own = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
    for directory in [Files.parent(of: own)] + path.split(separator: ":").map(String.init) where access("\(directory)/\(name)", X_OK) == 0 {
      return "\(directory)/\(name)"
    }
    throw SuiteError("\(address): no program \(name) beside this one or in PATH")
  }
}

/// How a runtime is called here.
struct RuntimeCommand {
  var words: [String]
  var cgroups: Bool

  /// crun refuses a machine with cgroups of both versions: there it gets a mount namespace that has the second version only, and leaves cgroups alone.
  init(program: String, cgroups mode: String?) {
    let hybrid = Files.exists("/sys/fs/cgroup/unified/cgroup.procs")
    let isCrun = program.split(separator: "/").last == "crun"
    if mode == "disabled" || (mode == nil && hybrid && isCrun) {
      let prepare = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$0\" \"$@\""
      words = (hybrid ? ["unshare", "--mount", "--propagation", "slave", "sh", "-c", prepare] : []) + [program, "--cgroup-manager=disabled"]
      cgroups = false
    } else {
      words = [program]
      cgroups = true
    }
  }
}
