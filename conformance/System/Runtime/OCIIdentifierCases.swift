import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  static let identifiers: [ContractCase<OCIRuntimeSubject>] =
    [
      ("empty", "an empty id", [""]), ("dot", "the id `.`", ["."]), ("dot-dot", "the id `..`", [".."]),
      ("slash", "an id with a slash", ["a/b", "/absolute"]),
      ("traversal", "an id that leads out of the state root", ["../sentinel", "../../ring", "a/../../x"]),
      ("long", "an id of 5000 characters", [String(repeating: "x", count: 5000)]),
    ].map { topic, what, ids in
      oci(
        "oci.id.\(topic)", "\(what) is refused by every verb, and nothing around the state root is touched", "runtime.md, create; RT-O11, RT-L30",
        why: "The id becomes a path: a runtime has been seen to erase the parent of its state root, and to say that all went well."
      ) { site in
        let bundle = try site.container()
        try bundle.writeConfig()
        for id in ids {
          let shown = id.count > 40 ? "\(id.prefix(10))…" : "\"\(id)\""
          try expectRefused(try site.call("create", [id], options: ["--bundle", bundle.bundle]) { $0.bundle = bundle.bundle }, "create with the id \(shown)")
          for verb in ["state", "start", "delete"] { try expectRefused(try site.call(verb, [id]), "\(verb) with the id \(shown)") }
          try expectRefused(try site.call("kill", [id, "KILL"]), "kill with the id \(shown)")
          try site.expectSentinels(after: "verbs with the id \(shown)")
          // A container that is not there may be fine for --force; what is around the state root is not its business.
          _ = try site.call("delete", [id], options: ["--force"])
          try site.expectSentinels(after: "delete --force with the id \(shown)")
        }
      }
    } + [
      oci(
        "oci.id.missing", "every verb without an id is an error", "runtime.md; RT-O01, RT-O10, RT-O20, RT-O30, RT-O40", why: "It could only guess."
      ) { site in
        let bundle = try site.container()
        try bundle.writeConfig()
        try expectRefused(try site.call("create", [], options: ["--bundle", bundle.bundle]) { $0.bundle = bundle.bundle }, "create without an id")
        for verb in ["state", "start", "kill", "delete"] { try expectRefused(try site.call(verb), "\(verb) without an id") }
      },
      oci(
        "oci.id.unusual", "letters, digits, `_`, `-`, `.` and `+` make ids", "runtime.md, create; RT-L03", level: .should,
        why: "Kubernetes and podman use them."
      ) { site in
        for id in ["a_b-c.d+e", "0", "A.1"] {
          let container = try site.container("echo ran", id: id)
          try expectEqual(try container.run(), 0, "exit code of the container \(id)")
          try container.delete()
        }
      },
    ]
}
