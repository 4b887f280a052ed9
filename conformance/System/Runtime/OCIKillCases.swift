import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  /// The runtime itself is killed.
  static let killing: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "oci.create.killed", "after a create that was killed at whatever moment, delete --force leaves no process, mount, cgroup or state",
      "runtime.md, delete; RT-O42, RT-L20, RT-L30",
      why: "Memory runs out, time limits strike, machines are shut down: a runtime is killed half-way now and then. What it had made by then has one name "
        + "only, the id, and one way to go, delete --force.",
      threads: ["opencontainers/runc#4534", "opencontainers/runc#4645"]
    ) { site in
      let usual = try usualSeconds(of: "create", at: site)
      let mounts = OCISite.mountPoints()
      var left: [String] = []
      for moment in Moments.spread(12, over: usual * 1.1, seed: site.subject.seed) {
        let container = try site.container()
        let before = Children.all()
        _ = try container.tryCreate { $0.killedAfter = moment }
        let result = try container.tryVerb("delete", options: ["--force"])
        let places = try leftovers(of: container, since: before, mounts: mounts)
        if !places.isEmpty {
          let answer = result.failed ? "exit code \(result.code), \(result.errors.trimmingCharacters(in: .whitespacesAndNewlines))" : "exit code 0"
          left.append("killed after \(String(format: "%.1f", moment * 1000)) ms: \(places.joined(separator: ", ")) (delete --force: \(answer))")
        }
        Children.endAll(but: before)
      }
      if !left.isEmpty {
        throw Mismatch(
          description: "after \(left.count) of 12 creations that were killed, delete --force left something; a whole create takes "
            + "\(String(format: "%.1f", usual * 1000)) ms\n" + left.joined(separator: "\n"),
          expected: "after delete --force nothing is left", actual: left[0])
      }
    },
    oci(
      "oci.create.killed-id", "the id of a create that was killed is free after delete --force", "runtime.md, create; RT-O11, RT-L30",
      why: "Callers choose ids by rule, the same after every restart: one that is blocked blocks the service.", threads: ["opencontainers/runc#4534"]
    ) { site in
      let usual = try usualSeconds(of: "create", at: site)
      for moment in Moments.spread(4, over: usual, seed: site.subject.seed) {
        let first = try site.container()
        _ = try first.tryCreate { $0.killedAfter = moment }
        _ = try first.tryVerb("delete", options: ["--force"])
        let second = try site.container("echo again", id: first.id)
        let result = try second.tryCreate()
        try expect(
          !result.failed,
          "create with the id of a create that was killed after \(String(format: "%.1f", moment * 1000)) ms, and deleted by force, failed: \(result.errors)")
        try second.deleteForced()
      }
    },
  ]

  /// How long a verb takes when nobody interferes: the middle one of three.
  private static func usualSeconds(of verb: String, at site: OCISite) throws -> Double {
    var times: [Double] = []
    for _ in 0..<3 {
      let container = try site.container()
      let began = ContinuousClock.now
      try container.create()
      let took = began.duration(to: .now).components
      times.append(Double(took.seconds) + Double(took.attoseconds) / 1e18)
      try container.deleteForced()
    }
    return times.sorted()[1]
  }

  /// What there still is of a container. What is just ending gets its time.
  private static func leftovers(of container: OCIContainer, since before: Set<Int32>, mounts: Set<String>) throws -> [String] {
    let site = container.site
    func processes() -> [Int32] { Children.all().subtracting(before).filter(Children.lives).sorted() }
    func cgroups() -> [String] { site.cgroups().map { "\($0)/\(container.id)" }.filter { Files.exists($0) } }
    _ = waitUntil(within: site.seconds(2)) { processes().isEmpty && cgroups().isEmpty }
    let state = "\(site.root)/\(container.id)"
    return processes().map { "process \($0) (\(contents("/proc/\($0)/cmdline").replacingOccurrences(of: "\0", with: " ").prefix(60)))" }
      + cgroups().map { "cgroup \($0)" } + OCISite.mountPoints().subtracting(mounts).sorted().map { "mount at \($0)" }
      + (Files.exists(state) ? ["state in \(state)"] : [])
  }
}

/// Moments within a span of time.
enum Moments {
  /// One in each of `count` equal parts of the span, in seconds: the same for the same seed.
  static func spread(_ count: Int, over span: Double, seed: UInt64) -> [Double] {
    var state = seed
    return (0..<count).map { part in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return span * (Double(part) + Double(state >> 40) / Double(1 << 24)) / Double(count)
    }
  }
}
