import CLinux
import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  public static let configuration = namespaces + userNamespaces + fileSystems + propagation + processes + terminals + limits + validity

  /// Names of namespaces: in config.json, and below /proc/PID/ns.
  private static let kinds = [("pid", "pid"), ("mount", "mnt"), ("ipc", "ipc"), ("uts", "uts"), ("network", "net"), ("cgroup", "cgroup")]

  private static func namespaces(_ names: [String]) -> JSON { .array(names.map { ["type": .string($0)] }) }

  static let namespaces: [ContractCase<OCIRuntimeSubject>] =
    kinds.map { kind, link in
      oci(
        "config.namespace.\(kind)-new", "a \(kind) namespace without a path is a new one", "config-linux.md, namespaces; LX-04, LX-07",
        why: "What was to be apart is shared with the host."
      ) { site in
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount", "ipc", "uts", "network", "cgroup"])
        try container.create()
        try container.start()
        let (own, host) = (try container.namespace(link), try namespaceOfProcess("self", link))
        try expect(own != host, "the container shares the \(kind) namespace \(host) with the runtime")
      }
    }
    + kinds.filter { !["mount", "cgroup"].contains($0.0) }.map { kind, link in
      oci(
        "config.namespace.\(kind)-inherited", "a \(kind) namespace that is not listed is the runtime's", "config-linux.md, namespaces; LX-05",
        why: "Containers with the host's network are asked for by leaving it out."
      ) { site in
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount", "ipc", "uts", "network"].filter { $0 != kind })
        try container.create()
        try expectEqual(try container.namespace(link), try namespaceOfProcess("self", link), "\(kind) namespace")
      }
    }
    + kinds.filter { ["ipc", "uts", "network"].contains($0.0) }.map { kind, link in
      oci(
        "config.namespace.\(kind)-joined", "a \(kind) namespace with a path is the one at the path", "config-linux.md, namespaces; LX-02",
        why: "The containers of a pod find each other through it."
      ) { site in
        let donor = try NamespaceDonor(site)
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount"])
        container.config["linux"]["namespaces"].append(["type": .string(kind), "path": .string(donor.path(link))])
        try container.begin()
        try expectEqual(try container.namespace(link), try namespaceOfProcess("\(donor.pid)", link), "\(kind) namespace")
      }
    } + [
      oci(
        "config.namespace.wrong-type", "a path that leads to a namespace of another type is an error", "config-linux.md, namespaces; LX-03",
        why: "The container would run beside the isolation that was asked for."
      ) { site in
        let donor = try NamespaceDonor(site)
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount"])
        container.config["linux"]["namespaces"].append(["type": "network", "path": .string(donor.path("uts"))])
        try expectRefused(try container.tryCreate(), "create with a network namespace whose path is a UTS namespace's")
        try container.expectUnknown("after the refused create")
      },
      oci(
        "config.namespace.missing-path", "a path where there is no namespace is an error", "config-linux.md, namespaces; LX-01, LX-02",
        why: "A new namespace in its place has no network, and nobody says so."
      ) { site in
        for path in [site.place + "/nowhere", "/proc/self/status"] {
          let container = try site.container()
          container.config["linux"]["namespaces"] = namespaces(["pid", "mount"])
          container.config["linux"]["namespaces"].append(["type": "network", "path": .string(path)])
          try expectRefused(try container.tryCreate(), "create with a network namespace at \(path)")
        }
      },
      oci(
        "config.namespace.relative-path", "a relative path to a namespace is an error", "config-linux.md, namespaces; LX-01, CF-21", level: .should,
        why: "It would be searched in whatever directory the runtime happens to be."
      ) { site in
        let donor = try NamespaceDonor(site)
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount"])
        container.config["linux"]["namespaces"].append(["type": "uts", "path": .string("." + donor.path("uts"))])
        try container.writeConfig()
        try expectRefused(
          try container.createAsIs { $0.directory = "/" }, "create with a relative path to a namespace")
      },
      oci(
        "config.namespace.duplicate", "a namespace type that is listed twice is an error", "config-linux.md, namespaces; LX-06",
        why: "Which of the two was meant?"
      ) { site in
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount", "uts", "uts"])
        try expectRefused(try container.tryCreate(), "create with two UTS namespaces")
      },
      oci(
        "config.namespace.unknown-type", "a namespace type that does not exist is an error", "config-linux.md, namespaces; CF-21",
        why: "A typing error would be less isolation."
      ) { site in
        let container = try site.container()
        container.config["linux"]["namespaces"] = namespaces(["pid", "mount", "bogus"])
        try expectRefused(try container.tryCreate(), "create with a namespace of the type `bogus`")
      },
    ]
}

/// A process in namespaces of its own, for containers to join.
final class NamespaceDonor {
  let pid: Int32

  init(_ site: OCISite) throws {
    let program = Program(words: ["unshare", "--ipc", "--uts", "--net", "sleep", "100"])
    pid = try program.spawn()
    let (pid, host) = (pid, try namespaceOfProcess("self", "net"))
    site.subject.note("a process in namespaces of its own", program.shell + " & # pid \(pid)", "")
    let ready = try waitUntil(within: site.seconds(5)) {
      contents("/proc/\(pid)/cmdline").hasPrefix("sleep") ? try namespaceOfProcess("\(pid)", "net") != host : false
    }
    if !ready { throw SuiteError("unshare did not make namespaces within \(Int(site.seconds(5))) s") }
  }

  func path(_ link: String) -> String { "/proc/\(pid)/ns/\(link)" }
}
