/// Many may pass at once, or one alone: a read-write lock whose waiters are suspended, first come first served.
actor Gate {
  private var shared = 0
  private var alone = false
  private var waiting: [(alone: Bool, CheckedContinuation<Void, Never>)] = []

  nonisolated func passing<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    await enter(alone: false)
    do {
      let value = try await body()
      await leave(alone: false)
      return value
    } catch {
      await leave(alone: false)
      throw error
    }
  }

  nonisolated func closing<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    await enter(alone: true)
    do {
      let value = try await body()
      await leave(alone: true)
      return value
    } catch {
      await leave(alone: true)
      throw error
    }
  }

  private func enter(alone wantsAlone: Bool) async {
    if waiting.isEmpty && !alone && (!wantsAlone || shared == 0) {
      if wantsAlone { alone = true } else { shared += 1 }
      return
    }
    await withCheckedContinuation { waiting.append((wantsAlone, $0)) }
  }

  private func leave(alone wasAlone: Bool) {
    if wasAlone { alone = false } else { shared -= 1 }
    while let next = waiting.first {
      if next.alone {
        if alone || shared > 0 { return }
        alone = true
      } else {
        if alone { return }
        shared += 1
      }
      waiting.removeFirst()
      next.1.resume()
      if next.alone { return }
    }
  }
}
