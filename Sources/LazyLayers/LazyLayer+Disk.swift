import CLinux
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// Writing what was fetched, and a disk that does not take it.
extension LazyLayer {
  /// Blocking.
  func write(_ bytes: [UInt8], to file: Int32, at place: Int64, _ what: String) throws(ContainerdError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(place) + off_t(done)) }
      if count < 0, clinux_errno() == EINTR { continue }
      if count < 0 { throw ContainerdError(SystemError.last("pwrite", "\(directory)/\(what)"), "layer \(name.blob.digest)") }
      done += count
    }
  }

  /// Has the disk keep room for bytes of the blob and of the archive: whoever is out of it must not fetch what cannot be written, again and again. Blocking.
  func reserve(_ blob: Range<Int64>, _ unpacked: Range<Int64>) throws(ContainerdError) {
    for (file, range, what) in [(packed, blob, "packed"), (archive, unpacked, "archive")] where !range.isEmpty {
      // FALLOC_FL_KEEP_SIZE (linux/falloc.h).
      while fallocate(file, 1, off_t(range.lowerBound), off_t(range.count)) != 0 {
        let error = SystemError.last("fallocate", "\(directory)/\(what)")
        if error.errno == EINTR { continue }
        // Not every file system can: then writing tells.
        if error.errno != ENOSPC, error.errno != EDQUOT { break }
        throw ContainerdError(error, "layer \(name.blob.digest)")
      }
    }
  }

  /// Has everything on disk. Blocking.
  ///
  /// The kernel tells once of a page that it could not write, whoever asks first, and takes it for written from then on: until it is short of memory, and reads it
  /// from the disk again. So after a failure nothing is here any more, whatever the page cache says. Our descriptors are told of every failure since they were
  /// opened, and of one before, under another server, that nobody was told of.
  func sync() throws(ContainerdError) {
    for (file, what) in [(packed, "packed"), (archive, "archive")] where fsync(file) != 0 {
      let error = SystemError.last("fsync", "\(directory)/\(what)")
      forget()
      throw ContainerdError(.unavailable, "layer \(name.blob.digest): \(error); all of it is fetched again")
    }
  }

  private func forget() {
    // Whoever opens the layer believes nothing of it without this mark: also if we are killed here, who alone were told.
    unlink(directory + "/boot")
    defer { do { try writeBoot() } catch { log("layer \(name.blob.digest) will be fetched again after a restart: \(error)") } }
    // Those who read without asking us check this behind each read, and ask us from now on.
    refusal.pointee.store(1, ordering: .releasing)
    age.add(1, ordering: .acquiringAndReleasing)
    presence.clear()
    setEmptySpans()
    for file in [packed, archive] { posix_fadvise(file, 0, 0, Int32(POSIX_FADV_DONTNEED)) }
  }

  /// What is here from now on this boot of the machine has written.
  private func writeBoot() throws { try Files.writeAtomically(try Files.read("/proc/sys/kernel/random/boot_id"), to: directory + "/boot") }

  /// Nobody has to fetch nothing.
  func setEmptySpans() {
    for number in 0..<spans.count where spans.blobRange(number).isEmpty && spans.archiveRange(number).isEmpty { presence.set(number) }
  }
}
