import BlockingIO
import ConformanceSuites

/// The contract of an OCI runtime's command line.
public enum OCIRuntimeSuite {
  public static let lifecycle = creating + killing + starting + ending + asking + identifiers

  static func oci(
    _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, needs: Set<Capability> = [], why: String, threads: [String] = [],
    _ body: @escaping @Sendable (OCISite) throws -> Void
  ) -> ContractCase<OCIRuntimeSubject> {
    ContractCase(id, sentence, statement, level: level, needs: needs, why: why, threads: threads) { subject in
      try await DedicatedThread.run {
        let site = try OCISite(subject)
        defer { site.cleanUp() }
        try body(site)
        if !site.sawLife { try site.expectPlainContainerRuns() }
      }
    }
  }
}
