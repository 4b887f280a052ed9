import CInit
import CLinux
import SystemKit

/// The caller's side of the conversation with a child that executes a plan.
struct SyncSocket: ~Copyable {
  let parent: OwnedFD
  private(set) var warnings: [String] = []
  private(set) var ttyMaster: Int32?

  enum Event {
    case pid(Int32)
    case sync(Int32)
    case ready
    case closed
  }

  init(_ parent: consuming OwnedFD) { self.parent = parent }

  /// The next thing the caller must act on; warnings and the terminal are kept. Throws what the child reports.
  mutating func next() throws(RuntimeError) -> Event {
    while true {
      var message = cinit_message()
      var passed: Int32 = -1
      let result = cinit_receive(parent.raw, &message, &passed)
      if result == 0 { return .closed }
      if result < 0 {
        throw RuntimeError(SystemError(errno: -result, operation: "recvmsg", object: "sync socket"), doing: "listen to the container's process")
      }
      switch message.kind {
      case CINIT_MESSAGE_PID.rawValue: return .pid(message.value)
      case CINIT_MESSAGE_SYNC.rawValue: return .sync(message.value)
      case CINIT_MESSAGE_READY.rawValue: return .ready
      case CINIT_MESSAGE_TERMINAL.rawValue: ttyMaster = passed
      case CINIT_MESSAGE_WARNING.rawValue: warnings.append(Self.render(message).message)
      default: throw Self.render(message)
      }
    }
  }

  func answer(_ bytes: [UInt8]) throws(RuntimeError) {
    let result = bytes.withUnsafeBytes { cinit_send(parent.raw, $0.baseAddress, UInt64($0.count)) }
    if result < 0 {
      throw RuntimeError(SystemError(errno: -result, operation: "send", object: "sync socket"), doing: "answer the container's process")
    }
  }

  static func render(_ message: cinit_message) -> RuntimeError {
    let label = withUnsafeBytes(of: message.text) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if UInt32(bitPattern: message.value) == CINIT_HOOK.rawValue {
      return RuntimeError(.system, "\(label): \(HookRunner.reason(error: message.error, status: Int32(bitPattern: message.detail)))")
    }
    if [CINIT_EXECUTE.rawValue, CINIT_LOOKUP.rawValue].contains(UInt32(bitPattern: message.value)) {
      let program = String(label.dropFirst("exec ".count))
      switch message.error {
      case ENOENT where !program.contains("/"): return RuntimeError(.notFound, "exec: \"\(program)\": executable file not found in $PATH")
      case ENOENT: return RuntimeError(.notFound, "exec: \"\(program)\": no such file or directory")
      case EACCES: return RuntimeError(.system, "exec: \"\(program)\": permission denied")
      case ENOEXEC: return RuntimeError(.system, "exec: \"\(program)\": exec format error")
      default: break
      }
    }
    return RuntimeError(.system, "\(label): \(SystemError(errno: message.error, operation: "", object: "").reason)")
  }
}
