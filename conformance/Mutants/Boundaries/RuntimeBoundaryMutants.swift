import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Foundation
import SystemKit

/// OCI runtimes that go over the border to storage, or do at create what is start's.
enum RuntimeBoundaryMutants {
  private static func around(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (OCICall, OCIHandler) throws -> OCIResult
  ) -> Mutant {
    RuntimeMutants.around(id, sentence, in: .boundaries, kills: kills.map { "boundaries.\($0)" }, symptom: symptom, change)
  }

  static let all: [Mutant] = [
    around("LB80", "create looks for the layers behind the root file system", kills: ["runtime.storage-invisible"], symptom: "no such layer") { call, next in
      if call.verb == "create", let upper = upper(of: call.bundle + "/rootfs"), !Files.exists(upper) {
        return OCIResult(code: 1, errors: "no such layer: \(upper)")
      }
      return try next(call)
    },
    around("LB81", "delete unmounts the root file system", kills: ["runtime.keeps-mounted"], symptom: "delete unmounted") { call, next in
      let result = try next(call)
      if call.verb == "delete", !call.options.contains("--force") { umount2(call.bundle + "/rootfs", Int32(MNT_DETACH)) }
      return result
    },
    around("LB82", "create starts the program", kills: ["split.network-between", "split.nothing-of-the-image-runs", "split.once"]) { call, next in
      let result = try next(call)
      if call.verb == "start" { return OCIResult(code: 0) }
      if call.verb == "create", !result.failed {
        var start = call
        start.verb = "start"
        start.options = []
        _ = try next(start)
        usleep(100_000)
      }
      return result
    },
    around("LB83", "the network namespace is made at start", kills: ["split.network-between"], symptom: "no network namespace of its own") { call, next in
      if call.verb == "create" {
        try RuntimeMutants.rewrite(call.bundle) { config in
          config["linux"]["namespaces"] = .array(config["linux"]["namespaces"].items.filter { $0["type"].text != "network" })
        }
      }
      return try next(call)
    },
    around("LB84", "the program runs twice", kills: ["split.once"], symptom: "the program ran 2 times") { call, next in
      if call.verb == "create" { try RuntimeMutants.rewrite(call.bundle) { RuntimeMutants.throughShell(&$0, #""$@"; "$@""#) } }
      return try next(call)
    },
    around("LB85", "the runtime reads the program while the container waits", kills: ["split.nothing-of-the-image-runs"], symptom: "was opened") { call, next in
      let result = try next(call)
      if call.verb == "create", !result.failed {
        let program = call.bundle + "/rootfs/bin/busybox"
        Thread.detachNewThread {
          usleep(100_000)
          _ = try? Files.read(program)  // what it reads is nobody's business
        }
      }
      return result
    },
  ]

  /// The upper directory of an overlay that is mounted there.
  private static func upper(of point: String) -> String? {
    // Without mountinfo nothing is mounted.
    guard let text = try? Files.read("/proc/self/mountinfo") else { return nil }
    for line in String(decoding: text, as: UTF8.self).split(separator: "\n").reversed() {
      let words = line.split(separator: " ")
      guard words.count > 5, words[4] == point else { continue }
      return line.split(whereSeparator: { $0 == "," || $0 == " " }).first { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst(9)) }
    }
    return nil
  }
}
