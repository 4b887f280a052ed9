import ConformanceKit
import Foundation

/// Whether there is anything behind an address.
enum Probe {
  /// Why the backend cannot be judged at all, or nil: runs a single case, and does not ask how it ends.
  static func silence(of target: Target, among cases: [AnyCase], _ options: Runner.Options) async throws -> String? {
    guard let one = cases.first else { return nil }
    var options = options
    options.limit = min(options.limit, 30)
    let (results, _) = try await Runner(options).run([one], on: target) { _ in }
    guard let first = results.first, results.allSatisfy({ $0.outcome == .blocked || $0.outcome == .error }) else { return nil }
    // How the target came to know of it is of no interest here.
    for beginning in [Worker.backendIsGone, Worker.backendIsUseless] {
      if let place = first.detail.range(of: beginning) { return String(first.detail[place.upperBound...]) }
    }
    return first.detail
  }
}
