import Protocols

/// The doorway of every fake's operation: the call is recorded, then meets its faults.
struct Instrument: Sendable {
  let component: String
  let trace: CallTrace
  let faults: FaultPlan

  @discardableResult
  func enter(_ operation: String, _ arguments: String...) async throws -> FaultPlan.Aftermath {
    trace.record(component: component, operation: operation, arguments: arguments)
    var aftermath = FaultPlan.Aftermath()
    for fault in faults.next("\(component).\(operation)") {
      switch fault {
      case .fail(let error): throw error
      case .failAfter(let error): aftermath.error = error
      case .drop(let bytes): aftermath.dropAfter = bytes
      case .delay(let time):
        do { try await Task.sleep(for: time) } catch { throw ContainerdError(.canceled, "\(component).\(operation)") }
      }
    }
    return aftermath
  }

  /// For operations that are not asynchronous: only failures reach them.
  func enterNow(_ operation: String, _ arguments: String...) throws {
    trace.record(component: component, operation: operation, arguments: arguments)
    for fault in faults.next("\(component).\(operation)") {
      if case .fail(let error) = fault { throw error }
    }
  }
}
