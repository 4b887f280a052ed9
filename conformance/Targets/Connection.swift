import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ContainerdClient
import Glibc
import Protocols
import SystemKit

/// A connection that lives as long as a case.
enum Connection {
  /// Connects, and hangs up when the case is over. A `SuiteError` says why nobody answers.
  /// - Parameter recorder: writes the calls down.
  static func open(socket: String, namespace: String, recorder: RecordedCalls? = nil, in workspace: Workspace) async throws -> ContainerdClient {
    try await requireListener(socket)
    workspace.endings.add { try await requireListener(socket) }
    let (over, end) = AsyncStream.makeStream(of: Void.self)
    let (clients, connected) = AsyncStream.makeStream(of: ContainerdClient.self)
    let holding = Task {
      defer { connected.finish() }
      try await ContainerdClient.with(socket: socket, namespace: namespace, interceptors: recorder.map { [$0] } ?? []) { client in
        connected.yield(client)
        for await _ in over {}
      }
    }
    // A call to a dead backend would wait for its return: hang up instead, and the calls fail.
    let watch = Task {
      while true {
        try await Task.sleep(for: .milliseconds(500))
        do { try await requireListener(socket) } catch {
          end.finish()
          return
        }
      }
    }
    for await client in clients {
      workspace.endings.add {
        watch.cancel()
        end.finish()
        // How the connection ends is of no interest any more.
        _ = await holding.result
      }
      return client
    }
    watch.cancel()
    _ = try await holding.value
    throw SuiteError("\(socket): the connection ended before it began")
  }

  /// Whether somebody listens, asked with connect(2) alone.
  static func requireListener(_ socket: String) async throws {
    do { _ = try await DedicatedThread.run { try connect(to: socket) } } catch let error as SystemError {
      throw SuiteError("\(Worker.backendIsGone)nobody listens on \(socket): \(error.reason)")
    }
  }

  /// The process that listens on a socket; 0 if the kernel does not tell.
  static func listener(on socket: String) async throws -> pid_t { try await DedicatedThread.run { try connect(to: socket) } }

  /// Connects, hangs up, and says who listens.
  private static func connect(to path: String) throws -> pid_t {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < room else { throw SystemError(errno: ENAMETOOLONG, operation: "connect", object: path) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { throw SystemError.last("socket", path) }
    let owned = OwnedFD(adopting: descriptor)
    let raw = owned.raw
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    try check("connect", path) {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), size) }
      }
    }
    // struct ucred: pid, uid, gid.
    var credentials: (pid: Int32, uid: UInt32, gid: UInt32) = (0, 0, 0)
    var length = socklen_t(12)
    let told = getsockopt(raw, Int32(SOL_SOCKET), 17, &credentials, &length)  // SO_PEERCRED
    _ = consume owned
    return told == 0 ? credentials.pid : 0
  }
}
