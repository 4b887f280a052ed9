import CLinux
import LinuxRuntime
import ShimWire

/// `delete`: takes away what a shim has left, alive or dead, and prints how the container ended.
enum DeleteCommand {
  private static let killed: UInt32 = 137

  static func run(_ arguments: ShimArguments) throws(ServiceError) {
    var response = DeleteResponse(pid: 0, exitStatus: killed, exitedAt: Clock.now())
    let root = StateRoot.read(bundle: arguments.bundle) ?? ShimPaths.state(bundle: arguments.bundle)
    do throws(RuntimeError) {
      let container = try Container.load(root: root, id: arguments.id)
      response.pid = UInt32(max(0, container.initPID))
      try container.delete(force: true)
    } catch {
      // Already deleted, the usual case.
      guard error.kind == .notFound else { throw ServiceError(error) }
      do throws(RuntimeError) { try Container.discardUnfinished(root: root, id: arguments.id) } catch { throw ServiceError(error) }
    }
    Rootfs.unmount(arguments.bundle + "/rootfs")
    if let record = ExitRecord.read(bundle: arguments.bundle) {
      response = DeleteResponse(pid: record.pid, exitStatus: record.status, exitedAt: record.exitedAt)
    }
    Output.write(response.encoded)
  }
}
