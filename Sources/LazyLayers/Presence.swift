import CLinux
import Protocols
import Synchronization
import SystemKit

/// Which spans of a layer are here: a byte for each, in a file that is mapped and shared, so that it says the truth when the process is killed.
///
/// A byte is set when the span's bytes have been written. After the machine has lost its power that may be a lie: see `LazyLayer`.
/// Safe from any thread.
final class Presence: @unchecked Sendable {
  private let bytes: UnsafeMutablePointer<Atomic<UInt8>>
  let count: Int
  private let here: Atomic<Int>

  /// Opens or makes the file.
  init(path: String, count: Int) throws(SystemError) {
    let file = try Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
    let raw = file.raw
    try check("ftruncate", path) { ftruncate(raw, off_t(count)) }
    // A store into a hole of a mapped file on a full disk would be the end of the process.
    let failure = posix_fallocate(raw, 0, off_t(count))
    if failure != 0 { throw SystemError(errno: failure, operation: "posix_fallocate", object: path) }
    guard let start = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, raw, 0), start != UnsafeMutableRawPointer(bitPattern: -1) else {
      throw SystemError.last("mmap", path)
    }
    bytes = start.bindMemory(to: Atomic<UInt8>.self, capacity: count)
    self.count = count
    var known = 0
    for number in 0..<count where bytes[number].load(ordering: .acquiring) != 0 { known += 1 }
    here = Atomic(known)
  }

  deinit { munmap(UnsafeMutableRawPointer(bytes), count) }

  /// For code that reads it without us, atomically, as long as we live.
  var memory: UnsafeRawPointer { UnsafeRawPointer(bytes) }

  subscript(_ span: Int) -> Bool { bytes[span].load(ordering: .acquiring) != 0 }

  func set(_ span: Int) {
    if bytes[span].exchange(1, ordering: .acquiringAndReleasing) == 0 { here.add(1, ordering: .acquiringAndReleasing) }
  }

  /// Forgets everything that is here by now.
  func clear() {
    for number in 0..<count where bytes[number].exchange(0, ordering: .acquiringAndReleasing) != 0 { here.subtract(1, ordering: .acquiringAndReleasing) }
  }

  var known: Int { here.load(ordering: .acquiring) }
  var isWhole: Bool { known == count }

  func firstMissing(from start: Int = 0) -> Int? { (start..<max(start, count)).first { !self[$0] } }
}
