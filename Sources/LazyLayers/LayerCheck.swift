import BlockingIO
import CLinux
import Hashing
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// Is a layer, once it is whole, the one that the image names?
///
/// Spans are right as far as the index is; who made the index may have lied. So the whole is held against what the image says, which its own digest
/// vouches for: the blob's digest, the archive's (DiffID), and the table of files against the archive's own headers.
extension LazyLayer {
  /// Begins the check, once. What it finds is in `phase`, on disk, and in the log.
  func beginCheck() {
    let mine = state.withLock { state in
      guard case .filling = state.phase else { return false }
      state.phase = .checking
      return true
    }
    if !mine { return }
    Task {
      do {
        try await fetch(gaps)
        // What lies between spans has no digest of its own: a registry that was wrong about it is asked once more before the layer is condemned.
        if try await checks.run({ [self] in try digest(of: packed, directory + "/packed", name.blob.digest.algorithm) }) != name.blob.digest {
          try await fetch([0..<spans.size])
        }
        try await checks.run { [self] in
          try sync()
          _ = try work.run(LayerVerification(self))
        }
        state.withLock { $0.phase = .checked }
        refusal.pointee.store(0, ordering: .releasing)
        log("image \(name.image), layer \(name.blob.digest): complete and verified, \(spans.archiveSize) bytes")
        completed(self)
      } catch let error as ContainerdError where error.code == .dataLoss && FileIdentity.leads(directory + "/packed", to: packed) {
        let reason = error.message
        refuse(reason)
        log("image \(name.image), layer \(name.blob.digest) is poisoned: \(reason)")
        do { try await pool.run { [self] in try writeDown(reason) } } catch {
          log("layer \(name.blob.digest): that it is poisoned could not be written down: \(error)")
        }
        tellAll(error)
        completed(self)
      } catch {
        // The disk or the registry, not the layer: it is tried again.
        let failures = state.withLock { state in
          state.phase = .filling
          state.failedChecks += 1
          return state.failedChecks
        }
        log("layer \(name.blob.digest) cannot be checked now: \(error)")
        if !FileIdentity.leads(directory + "/packed", to: packed) { return }
        Task { [weak self, pause = policy.checkPause * (1 << min(failures - 1, 6))] in
          // Nobody cancels it.
          try? await Task.sleep(for: pause)
          await self?.checkAgain()
        }
      }
    }
  }

  /// Another layer may have the directory's place by now: it gets no mark.
  private func writeDown(_ poison: String) throws {
    let held = try Files.open(directory, O_PATH | O_DIRECTORY)
    let mine = "/proc/self/fd/\(held.raw)"
    if FileIdentity.leads(mine + "/packed", to: packed) { try Files.writeAtomically(Array(poison.utf8), to: mine + "/poisoned") }
    withExtendedLifetime(held) {}
  }

  /// What was lost on its way to the disk is fetched first.
  private func checkAgain() async {
    while !presence.isWhole {
      // Nobody cancels it.
      if await !fill() { try? await Task.sleep(for: policy.longestPause) }
      if !FileIdentity.leads(directory + "/packed", to: packed) { return }
    }
    // Already begun by the last span, if one was missing.
    beginCheck()
  }

  /// Parts of the blob, a piece at a time.
  private func fetch(_ ranges: [Range<Int64>]) async throws {
    for range in ranges {
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Int(policy.backgroundBytes)) {
        let bytes = try await source.read(start..<min(range.upperBound, start + policy.backgroundBytes))
        state.withLock { $0.fetched += Int64(bytes.count) }
        try await pool.run { [self] in try write(bytes, to: packed, at: start, "packed") }
      }
    }
  }

  private func digest(of file: Int32, _ path: String, _ algorithm: Digest.Algorithm) throws -> Digest {
    try FileDigest.make(file, path, algorithm)
  }
}
