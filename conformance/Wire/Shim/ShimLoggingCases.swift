import ConformanceSuites
import Protocols
import SystemKit

extension ShimSuite {
  static let logging: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.logging.file", "output that is to go to a file is appended to it", "SHIM-11; SH-22", level: .should,
      why: "Logs of the time before a restart would be overwritten, or nothing kept at all."
    ) { subject in
      let file = subject.scene.directory + "/log-of-output"
      try Files.writeAtomically(Array("before\n".utf8), to: file, mode: 0o644)
      let target = "file://" + file
      let task = try await subject.started("c", ShimSubject.Program("echo one; echo two", io: TaskIO(stdout: target, stderr: target)))
      try expectEqual(try await task.wait().code, 0, "code of the program")
      try await task.finish()
      let wanted = "before\none\ntwo\n"
      do { try await eventually("the output in the file", within: 3) { read(file) == wanted ? true : nil } } catch is Mismatch {
        throw Mismatch(description: "the file that output is appended to: expected \(wanted.debugDescription), it holds \(read(file).debugDescription)")
      }
    },
    ContractCase(
      "shim.logging.binary", "a program for logs gets the output on descriptor 3, its arguments, and the names of container and namespace", "SHIM-11; SH-22",
      level: .should, why: "Log drivers are such programs: a container that has one would be silent, or not start."
    ) { subject in
      let base = subject.scene.directory + "/logger"
      let script = """
        #!/bin/sh
        echo "$@" >\(base).arguments
        echo "$CONTAINER_NAMESPACE/$CONTAINER_ID" >\(base).names
        exec 5>&-
        cat <&3 >\(base).output

        """
      try Files.writeAtomically(Array(script.utf8), to: base, mode: 0o755)
      let target = "binary://\(base)?--option=value"
      let task = try await subject.started("c", ShimSubject.Program("echo one; echo two", io: TaskIO(stdout: target, stderr: target)))
      try expectEqual(try await task.wait().code, 0, "code of the program")
      try await task.finish()
      do { try await eventually("the output at the logger", within: 5) { read(base + ".output") == "one\ntwo\n" ? true : nil } } catch is Mismatch {
        throw Mismatch(description: "what came to the program for logs: expected one and two, there came \(read(base + ".output").debugDescription)")
      }
      try expectEqual(read(base + ".names"), "\(subject.scene.namespace)/c\n", "CONTAINER_NAMESPACE/CONTAINER_ID of the program for logs")
      try expectEqual(read(base + ".arguments"), "--option value\n", "arguments of the program for logs")
    },
    ContractCase(
      "shim.logging.binary-fails", "a program for logs that cannot be run fails the creation", "SHIM-11; SH-22", level: .should,
      why: "A container whose log is lost from the beginning on looks like one that says nothing."
    ) { subject in
      let target = "binary:///no/such/logger?a=b"
      let task = try await subject.shim("c", ShimSubject.Program("echo one; sleep 1000", io: TaskIO(stdout: target, stderr: target)))
      try await expectRefusal(of: "Create with a program for logs that is not there") { _ = try await task.create() }
      try expectEqual(try subject.scene.mounts(), [], "what is mounted after the failed creation")
      try await task.leave()
    },
  ]

  /// Empty while there is no such file.
  private static func read(_ path: String) -> String { (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) } ?? "" }
}
