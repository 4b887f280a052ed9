import CInit
import CLinux

/// The operations a cloned child executes, in memory that C can read: strings and blobs live as long as the plan.
final class Plan {
  private(set) var joins: [cinit_op] = []
  private(set) var ops: [cinit_op] = []
  private var strings: [UnsafeMutablePointer<CChar>] = []
  private var lists: [UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>] = []
  private var blobs: [UnsafeMutableRawPointer] = []
  private(set) var slotCount: Int32 = 0
  private var kept: [Int32] = []

  deinit {
    strings.forEach { free($0) }
    lists.forEach { $0.deallocate() }
    blobs.forEach { $0.deallocate() }
    kept.forEach { _ = close($0) }
  }

  func text(_ string: String) -> UnsafePointer<CChar> {
    guard let copy = strdup(string) else { fatalError("out of memory") }
    strings.append(copy)
    return UnsafePointer(copy)
  }

  func list(_ strings: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
    let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() { list[index] = UnsafeMutablePointer(mutating: text(string)) }
    list[strings.count] = nil
    lists.append(list)
    return list
  }

  func blob(_ bytes: [UInt8]) -> UnsafeRawPointer {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
    copy.copyMemory(from: bytes, byteCount: bytes.count)
    blobs.append(copy)
    return UnsafeRawPointer(copy)
  }

  /// Takes a descriptor that operations name; it is closed with the plan.
  func keep(_ fd: Int32) { kept.append(fd) }

  func newSlot() -> Int32 {
    defer { slotCount += 1 }
    return slotCount
  }

  /// Appends an operation; `label` is what a message about its failure begins with.
  func add(_ kind: cinit_kind, _ label: String, soft: Bool = false, join: Bool = false, _ fill: (inout cinit_op) -> Void = { _ in }) {
    var op = cinit_op()
    op.kind = kind.rawValue
    op.flags = soft ? CINIT_SOFT.rawValue : 0
    op.fd = -1
    op.fd2 = -1
    op.label = text(label)
    fill(&op)
    if join { joins.append(op) } else { ops.append(op) }
  }

  /// Clones and lets the child run. Gives the pid of the clone.
  /// - Parameter held: the child ends with this process until it has reported ready and was answered.
  func spawn(cloneFlags: UInt64, cgroup: Int32, sync: Int32, held: Bool = false) -> Int32 {
    var slots = [Int32](repeating: -1, count: Int(slotCount) + 1)
    return joins.withUnsafeBufferPointer { joins in
      ops.withUnsafeBufferPointer { ops in
        slots.withUnsafeMutableBufferPointer { slots in
          var plan = cinit_plan(
            joins: joins.baseAddress, join_count: UInt32(joins.count), ops: ops.baseAddress, op_count: UInt32(ops.count),
            clone_flags: cloneFlags, cgroup_fd: cgroup, sync_fd: sync, slots: slots.baseAddress, held: held ? 1 : 0)
          return cinit_spawn(&plan)
        }
      }
    }
  }
}
