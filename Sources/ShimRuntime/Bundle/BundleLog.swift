import CLinux
import Logging
import NIOCore
import NIOPosix
import SystemKit

/// Reads a bundle's `log` FIFO into the daemon's log, line by line.
///
/// It must be open before the shim is started: the shim's open for writing waits for a reader.
final class BundleLog: Sendable {
  private let channel: any Channel

  private init(channel: any Channel) {
    self.channel = channel
  }

  /// Opening a FIFO both ways never waits and never sees an end, so shims may come and go.
  static func open(_ bundle: Bundle, group: any EventLoopGroup, logger: Logger) async throws -> BundleLog {
    var logger = logger
    logger[metadataKey: "namespace"] = "\(bundle.key.namespace)"
    logger[metadataKey: "id"] = "\(bundle.key.id)"
    let tagged = logger
    let fd = try Files.open(bundle.log, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
    let number = fd.release()
    do {
      let bootstrap = NIOPipeBootstrap(group: group).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(LineLogger(logger: tagged))
        }
      }
      return BundleLog(channel: try await bootstrap.takingOwnershipOfDescriptor(input: number).get())
    } catch {
      // The bootstrap owns the descriptor only once it has succeeded.
      CLinux.close(number)
      throw error
    }
  }

  func close() {
    channel.close(promise: nil)
  }
}

/// Cuts the stream into lines and gives each to the logger at the level that the line itself names.
private final class LineLogger: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// Longer lines are logged in pieces: a shim must not be able to make the daemon keep more.
  private static let longestLine = 16 << 10

  private let logger: Logger
  private var line: [UInt8] = []

  init(logger: Logger) {
    self.logger = logger
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    for byte in unwrapInboundIn(data).readableBytesView {
      if byte == UInt8(ascii: "\n") {
        flush()
      } else {
        line.append(byte)
        if line.count == Self.longestLine { flush() }
      }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelInactive()
  }

  private func flush() {
    if line.isEmpty { return }
    let text = String(decoding: line, as: UTF8.self)
    line = []
    logger.log(level: ShimLogLine.level(of: text), "shim: \(text)")
  }
}

enum ShimLogLine {
  private static let levels: [(String, Logger.Level)] = [
    ("level=trace", .trace), ("level=debug", .debug), ("level=info", .info), ("level=warn", .warning), ("level=error", .error),
    ("level=fatal", .critical), ("level=panic", .critical),
  ]

  /// Go shims write logfmt; a line that names no level is told as it is.
  static func level(of line: String) -> Logger.Level {
    levels.first { line.contains($0.0) }?.1 ?? .info
  }
}
