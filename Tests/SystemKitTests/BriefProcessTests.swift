import CLinux
import SystemKit
import TestSupport
import Testing

@Suite struct BriefProcessTests {
  private func sh(_ line: String, deadline: Duration = .seconds(20), limit: Int = 1 << 20) throws -> (end: BriefProcess.End, said: String) {
    let (end, output) = try BriefProcess.run(["/bin/sh", "-c", line], deadline: deadline, limit: limit)
    return (end, String(decoding: output, as: UTF8.self))
  }

  @Test func whatItSaysAndHowItEndsIsTold() throws {
    #expect(try sh("echo one; echo two") == (.exited(0), "one\ntwo\n"))
    #expect(try sh("echo last words; exit 7") == (.exited(7), "last words\n"))
    #expect(try sh("kill -SEGV $$") == (.killed(by: SIGSEGV), ""))
    let many = try sh("seq 100000")
    #expect(many.end == .exited(0) && many.said.utf8.count == 588_895)
  }

  @Test(arguments: ["echo $$; exec sleep 100", "echo $$; exec >&-; exec sleep 100", "echo $$; read word; exec sleep 100"])
  func oneThatHangsIsKilled(_ line: String) throws {
    let began = ContinuousClock.now
    let (end, said) = try sh(line, deadline: .seconds(3))
    #expect(end == .late && began.duration(to: .now) < .seconds(20))
    let pid = try #require(pid_t(said.dropLast()))
    #expect(kill(pid, 0) == -1 && clinux_errno() == ESRCH, "it is gone, and no zombie")
  }

  @Test func oneThatTalksForEverIsKilled() throws { #expect(try sh("exec yes", limit: 100_000).end == .talkative) }

  @Test func aProgramThatIsNotThereIsAnError() {
    let error = #expect(throws: SystemError.self) { try BriefProcess.run(["/nowhere/program"], deadline: .seconds(1)) }
    #expect(error?.errno == ENOENT && error?.object == "/nowhere/program")
  }

  @Test func nothingOfOursIsOpenInIt() throws {
    let file = try Files.open("/dev/null", O_RDONLY)
    // A descriptor that is not closed on exec.
    let leaking = dup(file.raw)
    defer { close(leaking) }
    #expect(try sh("ls /proc/self/fd | wc -l").said == "4\n", "three, and the one that ls has of the directory")
  }
}
