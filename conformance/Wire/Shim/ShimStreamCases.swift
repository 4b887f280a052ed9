import CLinux
import ConformanceSuites
import ContainerdAPI
import Protocols
import SystemKit

extension ShimSuite {
  static let streams: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.output.complete", "all output is in the pipe when Delete has answered", "SHIM-11; SH-09",
      why: "The last lines of a program that failed are the ones that matter.", threads: ["containerd/rust-extensions#276", "containerd/containerd#10094"]
    ) { subject in
      let pipes = try ShimPipes(subject, "io")
      let size = 4 << 20
      let task = try await subject.started("c", ShimSubject.Program("yes 0123456789abcde | head -c \(size)", io: pipes.io))
      try expectEqual(try await task.wait().code, 0, "code of the program")
      try await task.finish()
      // What is in the pipe was written; the reader may be a moment behind.
      do { try await eventually("all output", within: 3) { pipes.output.count >= size ? true : nil } } catch is Mismatch {
        throw Mismatch(description: "output of \(size) bytes: \(pipes.output.count) came")
      }
      try expectEqual(pipes.output.count, size, "bytes of output")
      try expect(pipes.text == String(repeating: "0123456789abcde\n", count: size / 16), "the output is not what the program wrote")
    },
    ContractCase(
      "shim.output.exec", "the output of an exec is its own, and complete", "SHIM-11; SH-09",
      why: "kubectl exec shows half an answer, or another's."
    ) { subject in
      let own = try ShimPipes(subject, "io")
      let task = try await subject.started("c", ShimSubject.Program("echo init; sleep 1000", io: own.io))
      let pipes = try ShimPipes(subject, "exec")
      try await task.exec("e", ShimSubject.Program("seq 1 2000", io: pipes.io))
      try await task.start("e")
      _ = try await task.wait("e")
      try await task.delete("e")
      let wanted = (1...2000).map { "\($0)\n" }.joined()
      do { try await eventually("the exec's output", within: 3) { pipes.text == wanted ? true : nil } } catch is Mismatch {
        throw Mismatch(description: "output of the exec: expected \(wanted.utf8.count) bytes, got \(pipes.output.count): \(pipes.text.suffix(40))")
      }
      try await eventually("the first process's output", within: 3) { own.text == "init\n" ? true : nil }
      try await task.end()
    },
    ContractCase(
      "shim.output.reader-gone", "a reader that goes away does not end the program", "SHIM-11; SH-09",
      why: "A daemon's restart would take the containers with it.", threads: ["containerd/rust-extensions#276"]
    ) { subject in
      let pipes = try ShimPipes(subject, "io")
      let alive = subject.scene.rootfs + "/alive"
      let task = try await subject.started("c", ShimSubject.Program("echo one; sleep 0.2; echo two; echo three; touch /alive; sleep 1000", io: pipes.io))
      try await eventually("the first line") { pipes.text.hasPrefix("one") ? true : nil }
      pipes.stop()
      try await eventually("the program's going on after its reader has gone", within: 5) { Files.exists(alive) ? true : nil }
      try expectEqual(try await task.state().status, .running, "state after the reader has gone")
      try await task.end()
    },
    ContractCase(
      "shim.input.close", "CloseIO gives the program the end of its input", "SHIM-11; SH-11",
      why: "Whatever reads its input to the end hangs for ever."
    ) { subject in
      let pipes = try ShimPipes(subject, "io", input: true)
      let task = try await subject.started("c", ShimSubject.Program("cat; echo end", io: pipes.io))
      try pipes.write("hello\n")
      try await eventually("what was written to the input", within: 5) { pipes.text == "hello\n" ? true : nil }
      // The daemon asks first; then the client lets go of its end.
      try await task.closeStdin()
      pipes.closeInput()
      try await eventually("the end of the input after CloseIO", within: 5) { try await task.state().status == .stopped ? true : nil }
      try await task.finish()
      try await eventually("the last output", within: 3) { pipes.text == "hello\nend\n" ? true : nil }
    },
    ContractCase(
      "shim.output.grandchild", "an exec whose grandchild holds the output ends in time", "SHIM-11; SH-10",
      why: "A health check that leaves a process behind would hang, and the container with it.",
      threads: ["containerd/containerd#13377", "containerd/containerd#10094"]
    ) { subject in
      let task = try await subject.started()
      let pipes = try ShimPipes(subject, "exec")
      try await task.exec("e", ShimSubject.Program("setsid sleep 1000 & echo done", io: pipes.io))
      try await task.start("e")
      try expectEqual(try await task.wait("e").code, 0, "code of the exec")
      try await eventually("the exec's output", within: 3) { pipes.text == "done\n" ? true : nil }
      try await task.kill("", 9, all: true)
      _ = try await task.wait()
      try await task.delete("e")
      try await task.finish()
    },
    ContractCase(
      "shim.terminal.resize", "a terminal has the size that it was given", "SHIM-11; SH-11",
      why: "Editors and pagers draw for another window."
    ) { subject in
      let task = try await subject.started()
      let pipes = try ShimPipes(subject, "exec", input: true, terminal: true)
      try await task.exec("e", ShimSubject.Program("read line; stty size; test -t 0 && echo terminal", terminal: true, io: pipes.io))
      try await task.start("e")
      try await task.resize("e", width: 123, height: 45)
      try pipes.write("go\n")
      try expectEqual(try await task.wait("e").code, 0, "code of the exec")
      do { try await eventually("the size", within: 3) { pipes.text.contains("terminal") ? true : nil } } catch is Mismatch {}
      try expect(pipes.text.contains("45 123"), "size of the terminal: expected 45 123, the program said \(pipes.text.debugDescription)")
      try expect(pipes.text.contains("terminal"), "the exec's input is no terminal: \(pipes.text.debugDescription)")
      try await task.delete("e")
      try await task.end()
    },
  ]
}
