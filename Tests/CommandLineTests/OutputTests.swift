import ArgumentParser
import Foundation
import Logging
import Protocols
import Synchronization
import Testing

@testable import containerd_ref

@Suite struct OutputTests {
  @Test(arguments: [
    ("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("RTMIN", 34), ("64", 64),
  ]) func signalsAreNamesOrNumbers(_ text: String, _ number: Int32) throws { #expect(try SignalName.number(text) == number) }

  @Test(arguments: ["", "0", "65", "-1", "NOSUCH", "RTMIN+31", "RTMAX--1", "SIG"]) func whatIsNoSignalIsRefused(_ text: String) {
    #expect(throws: ContainerdError.self) { try SignalName.number(text) }
  }

  @Test(arguments: [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10240, "10 KiB"), (1_048_576, "1.0 MiB"), (5_000_000_000, "4.7 GiB")])
  func sizesAreReadable(_ bytes: Int64, _ text: String) { #expect(Human.size(bytes) == text) }

  @Test func columnsAreAsWideAsTheirWidestCell() {
    var table = Table(["ID", "STATUS"])
    table.add(["a-long-name", "running"])
    table.add(["b", ""])
    #expect(table.text == "ID           STATUS\na-long-name  running\nb\n")
  }

  @Test func aCommandTakesEverythingAfterTheContainersName() throws {
    let run = try #require(try ContainerdRef.parseAsRoot(["run", "--rm", "image", "name", "ls", "--rm", "-l"]) as? RunCommand)
    #expect(run.id == "name" && run.command == ["ls", "--rm", "-l"] && run.life.rm)
    let dashes = try #require(try ContainerdRef.parseAsRoot(["run", "image", "name", "--", "--odd"]) as? RunCommand)
    #expect(dashes.command == ["--odd"])
  }

  @Test(arguments: [
    ["run", "image"], ["run", "--nonsense", "image", "id"], ["run", "--rm", "-d", "image", "id"], ["exec", "id"], ["run", "image", "--rm", "id"],
  ])
  func whatCannotBeMeantIsRefused(_ words: [String]) { #expect(throws: (any Error).self) { try ContainerdRef.parseAsRoot(words) } }

  @Test func logLinesCarryTheirFieldsAsTextAndAsJSON() throws {
    func line(_ format: LogOutput.Format) throws -> String {
      let lines = Lines()
      var logger = Logger(label: "test") { _ in LogOutput(format: format, level: .info) { lines.add($0) } }
      logger[metadataKey: "namespace"] = "default"
      logger.debug("not this")
      logger.info("found \"it\"\nagain", metadata: ["id": "c 1", "level": "odd"])
      #expect(lines.all.count == 1)
      return try #require(lines.all.first)
    }
    let text = try line(.text)
    #expect(text.hasSuffix(" level=info msg=\"found \\\"it\\\"\\nagain\" id=\"c 1\" fields.level=odd namespace=default\n"))
    let json = try #require(try JSONSerialization.jsonObject(with: Data(try line(.json).utf8)) as? [String: String])
    #expect(json["msg"] == "found \"it\"\nagain" && json["namespace"] == "default" && json["id"] == "c 1" && json["level"] == "info")
    #expect(Timestamp(rfc3339: json["time"] ?? "") != nil)
  }
}

private final class Lines: Sendable {
  private let kept = Mutex<[String]>([])
  var all: [String] { kept.withLock { $0 } }
  func add(_ line: String) { kept.withLock { $0.append(line) } }
}
