import BlockingIO
import CLinux
import ContainerdAPI
import Protocols
import SwiftProtobuf
import Synchronization
import SystemKit

/// What a shim told about a task.
public struct ShimEvent: Sendable, Hashable, CustomStringConvertible {
  /// `/tasks/exit`
  public var topic: String
  public var namespace: String
  public var container: String
  /// The exec, or the container for its first process; empty where the event names none.
  public var process: String
  public var pid: UInt32
  public var code: UInt32
  /// Seconds and nanoseconds.
  public var exitedAt: ExitTime?

  public var description: String { process.isEmpty || process == container ? topic : "\(topic)(\(process))" }

  init(_ envelope: Containerd_Types_Envelope) throws {
    (topic, namespace, container, process, pid, code, exitedAt) = (envelope.topic, envelope.namespace, "", "", 0, 0, nil)
    let bytes = envelope.event.value
    switch topic {
    case "/tasks/create":
      let event = try Containerd_Events_TaskCreate(serializedBytes: bytes)
      (container, pid) = (event.containerID, event.pid)
    case "/tasks/start":
      let event = try Containerd_Events_TaskStart(serializedBytes: bytes)
      (container, pid) = (event.containerID, event.pid)
    case "/tasks/exit":
      let event = try Containerd_Events_TaskExit(serializedBytes: bytes)
      (container, process, pid, code, exitedAt) = (event.containerID, event.id, event.pid, event.exitStatus, ExitTime(event.exitedAt))
    case "/tasks/delete":
      let event = try Containerd_Events_TaskDelete(serializedBytes: bytes)
      (container, process, pid, code, exitedAt) = (event.containerID, event.id, event.pid, event.exitStatus, ExitTime(event.exitedAt))
    case "/tasks/exec-added":
      let event = try Containerd_Events_TaskExecAdded(serializedBytes: bytes)
      (container, process) = (event.containerID, event.execID)
    case "/tasks/exec-started":
      let event = try Containerd_Events_TaskExecStarted(serializedBytes: bytes)
      (container, process, pid) = (event.containerID, event.execID, event.pid)
    case "/tasks/paused": container = try Containerd_Events_TaskPaused(serializedBytes: bytes).containerID
    case "/tasks/oom": container = try Containerd_Events_TaskOOM(serializedBytes: bytes).containerID
    case "/tasks/resumed": container = try Containerd_Events_TaskResumed(serializedBytes: bytes).containerID
    default: break
    }
  }
}

/// When a process ended, as the wire has it.
public struct ExitTime: Sendable, Hashable, CustomStringConvertible {
  public var seconds: Int64
  public var nanoseconds: Int32
  public init(_ time: Google_Protobuf_Timestamp) { (seconds, nanoseconds) = (time.seconds, time.nanos) }
  public var description: String { "\(seconds).\(String(repeating: "0", count: 9 - "\(nanoseconds)".count))\(nanoseconds) s" }
}

/// The daemon's ear: a socket where shims forward their events to.
final class EventListener: Sendable {
  private struct State {
    var events: [ShimEvent] = []
    var connections: [TTRPCSocket] = []
    var over = false
  }
  let path: String
  private let listening: Mutex<Int32>
  private let state = Mutex(State())

  var received: [ShimEvent] { state.withLock { $0.events } }

  init(path: String) throws {
    self.path = path
    listening = Mutex(try UnixSocket.listening(at: path).release())
  }

  /// Serves until `end`.
  func begin() {
    let socket = listening.withLock { $0 }
    Task {
      // The end of the listening socket is how this is told to stop.
      do {
        try await DedicatedThread.run { [self] in
          while true {
            let raw = try check("accept", path) { accept4(socket, __SOCKADDR_ARG(__sockaddr__: nil), nil, Int32(SOCK_CLOEXEC.rawValue)) }
            serve(TTRPCSocket(adopting: OwnedFD(adopting: raw)))
          }
        }
      } catch {}
      close(socket)
    }
  }

  func end() {
    state.withLock { $0.over = true }
    hangUp()
  }

  /// The daemon is away: nobody listens, and whoever was connected is hung up on.
  func pause() {
    hangUp()
    unlink(path)
  }

  /// And is back, at the same address.
  func resume() throws {
    let socket = try UnixSocket.listening(at: path).release()
    listening.withLock { $0 = socket }
    begin()
  }

  private func hangUp() {
    listening.withLock { socket in
      if socket < 0 { return }
      shutdown(socket, Int32(SHUT_RDWR))
      socket = -1
    }
    let connections = state.withLock { state in
      defer { state.connections = [] }
      return state.connections
    }
    for connection in connections { connection.hangUp() }
  }

  private func serve(_ connection: TTRPCSocket) {
    let over = state.withLock { state in
      state.connections.append(connection)
      return state.over
    }
    if over { connection.hangUp() }
    Task {
      // A shim that dies in the middle of a message has nothing more to tell.
      do { try await DedicatedThread.run { [self] in while let message = try connection.receive() { try take(message, from: connection) } } } catch {}
    }
  }

  private func take(_ message: TTRPCMessage, from connection: TTRPCSocket) throws {
    let request = try Ttrpc_Request(serializedBytes: message.data)
    var response = Ttrpc_Response()
    if request.method == "Forward" {
      let event = try ShimEvent(try Containerd_Services_Events_Ttrpc_V1_ForwardRequest(serializedBytes: request.payload).envelope)
      state.withLock { $0.events.append(event) }
    } else {
      response.status.code = 12
      response.status.message = "method \(request.method) of \(request.service)"
    }
    try connection.send(TTRPCMessage(stream: message.stream, kind: TTRPCMessage.response, data: try response.serializedBytes()))
  }
}
