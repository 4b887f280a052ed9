import ConformanceKit
import ConformanceSuites

/// A report that no run gave: every outcome, every reason, and texts that are hard to write down.
public enum SampleReport {
  public static func make(_ cases: [CaseInfo], shifted: Int = 0) -> RunReport {
    let hard = "a <b> & \"c\" 'd' ]]> # \\ `e` | \u{1}\u{1B}[31m\u{7F} grüße 世界\nsecond line"
    let results = cases.enumerated().map { number, info -> CaseResult in
      var result = CaseResult(info, .pass, seconds: 0.004 + Double(number % 17) * 0.013, seed: 42)
      let turn = (number + shifted) % 29
      guard turn < Outcome.allCases.count + 1 else { return result }
      result.outcome = turn < Outcome.allCases.count ? Outcome.allCases[turn] : .pass
      switch result.outcome {
      case .pass where turn != 0: result.leaks = ["mount /scratch/7/merged (overlay)", "process 4711 (sleep 60)"]
      case .pass: break
      case .skip:
        let reasons = ["capability", "privilege", "environment", "tool"]
        result.skipReason = reasons[number / 29 % reasons.count]
        result.detail = "the subject does not offer “files”"
      default:
        result.detail = hard
        result.expected = "prepare of the taken key a: the error class \"alreadyExists\""
        result.actual = hard
        result.log = "worker: \(hard)"
        let record = Record()
        record.add("prepare \"a\" on \"base\"", command: "ctr snapshots prepare a base", outcome: "mounts")
        record.add("prepare \"a\" again", command: "ctr snapshots prepare a base", outcome: "success")
        result.steps = record.steps
        result.attempts = result.outcome == .flaky ? 5 : 1
        if result.outcome == .expectedFailure { result.link = "https://example.org/issues/1" }
      }
      return result
    }
    var report = RunReport(
      target: "snapshotter+grpc:///run/sample/snapshotter.sock?name=sample", name: "sample-snapshotter", started: "2030-01-02T03:04:05Z", seconds: 83.4,
      seed: 42, suiteVersion: "1", environment: environment, results: results, selection: "everything")
    report.leaks = ["cgroup /sample/7"]
    return report
  }

  private static let environment = EnvironmentFingerprint(
    kernel: "6.1.0-sample", architecture: "x86_64", distribution: "Debian GNU/Linux 12 (bookworm)", cgroups: "v2", root: true, scratchFilesystem: "ext4",
    cpus: 2, memoryMiB: 4096, tools: ["ctr": "1.6.20", "runc": "1.1.5"])
}
