import CLinux
import ShimWire
import SystemKit

/// The process that stays: parent of the containers' processes, for as long as there are any.
final class Server {
  /// How long the last events may take when the shim was told to end.
  private static let patience: Int64 = 3000

  private let loop = EventLoop()
  private let service: TaskService
  private let dispatcher: Dispatcher
  private let publisher: Publisher
  /// Nil once nobody is to come any more.
  private var socketPath: String?
  private var signals: Int32 = -1
  private var connections: [ObjectIdentifier: Connection] = [:]

  init(_ arguments: ShimArguments) {
    let events = getenv("TTRPC_ADDRESS").map { String(cString: $0) } ?? ""
    publisher = Publisher(loop, address: events, namespace: arguments.namespace)
    service = TaskService(loop, publisher: publisher, namespace: arguments.namespace, log: ShimLog(bundle: arguments.bundle, debugs: arguments.debug))
    dispatcher = Dispatcher(service)
    socketPath = arguments.socket
  }

  func run() throws(ServiceError) {
    do throws(SystemError) { try prepare() } catch { throw ServiceError(.unknown, "serve: \(error)") }
    service.onShutdown = { [self] in
      stopListening()
      // The answer goes out first.
      publisher.whenIdle { self.loop.after(milliseconds: 20) { self.loop.stop() } }
      loop.after(milliseconds: Self.patience) { self.loop.stop() }
    }
    loop.run()
  }

  /// At once, not at the very end: while the last events go out, a shim for a new container of the same name must not take this one for living.
  private func stopListening() {
    guard let path = socketPath else { return }
    socketPath = nil
    loop.unwatch(StartCommand.listener)
    if !path.isEmpty { unlink(path) }
    close(StartCommand.listener)
  }

  private func prepare() throws(SystemError) {
    chdir("/")
    try check("prctl", "child subreaper") { clinux_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGCHLD)
    // A log program that has died must not take the shim with it.
    sigaddset(&set, SIGPIPE)
    sigprocmask(SIG_BLOCK, &set, nil)
    signals = try check("signalfd", "signals") { signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK)) }
    loop.watch(signals, POLLIN) { [self] _ in
      var info = signalfd_siginfo()
      while read(signals, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {}
      service.reap()
    }
    let listener = StartCommand.listener
    try check("fcntl", "listener") { clinux_fcntl(listener, F_SETFD, Int(FD_CLOEXEC)) }
    try check("fcntl", "listener") { clinux_fcntl(listener, F_SETFL, Int(O_NONBLOCK)) }
    loop.watch(listener, POLLIN) { [self] _ in accept() }
  }

  private func accept() {
    while true {
      let fd = accept4(StartCommand.listener, __SOCKADDR_ARG(__sockaddr__: nil), nil, Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue))
      if fd < 0 { return }
      let connection = Connection(loop, fd: fd)
      let key = ObjectIdentifier(connection)
      connections[key] = connection
      connection.onClose = { [self] in connections[key] = nil }
      dispatcher.serve(connection)
    }
  }
}
