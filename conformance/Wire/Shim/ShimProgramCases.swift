import CLinux
import ConformanceSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

extension ShimSuite {
  static let program: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.start.address", "start prints where the shim listens, and exits while the shim goes on", "SHIM-01; SH-01",
      why: "A daemon that gets no address, or waits for start to exit, starts no container."
    ) { subject in
      let task = try await subject.shim()
      try expect(Files.exists(task.socket), "start exited, and there is no socket at \(task.socket)")
      try expect(try !subject.scene.shims().isEmpty, "start exited, and no shim runs")
      try await task.leave()
    },
    ContractCase(
      "shim.start.long-names", "a long namespace and id still give a socket that can be connected to", "SHIM-01; SH-19",
      why: "The path of a unix socket has 107 bytes; ids of Kubernetes have 64, and namespaces up to 76."
    ) { subject in
      let task = try await subject.shim(String(repeating: "long-id-", count: 8) + "0123456789")
      try expect(task.socket.utf8.count < 108, "the socket's path has \(task.socket.utf8.count) bytes")
      try await task.leave()
    },
    ContractCase(
      "shim.flags.version", "-v tells the version and exits", "SHIM-03; SH-26", level: .should,
      why: "Reports of errors without a version are of little use."
    ) { subject in
      let bundle = try await subject.scene.makeBundle("v", configuration: "{}")
      let result = try await subject.run(
        ShimCommand(arguments: [subject.scene.binary, "-v"], environment: subject.scene.commandEnvironment, directory: bundle))
      subject.scene.forget("v")
      try expectEqual(result.status, 0, "exit status of -v")
      try expect(result.text.contains { !$0.isWhitespace }, "-v printed nothing")
    },
    ContractCase(
      "shim.flags.info", "-info tells about the runtime, and ends", "SHIM-04", level: .should,
      why: "A daemon asks a shim this way what its runtime can do, before there is any container."
    ) { subject in
      let bundle = try await subject.scene.makeBundle("i", configuration: "{}")
      let result = try await subject.run(
        ShimCommand(arguments: [subject.scene.binary, "-info"], environment: subject.scene.commandEnvironment, directory: bundle))
      subject.scene.forget("i")
      try expectEqual(result.status, 0, "exit status of -info")
      // A RuntimeInfo: its first field is the shim's name.
      try expect(
        result.output.first == 0x0a && result.output.count > 2, "-info printed no RuntimeInfo that begins with a name, but \(result.output.count) bytes")
    },
    ContractCase(
      "shim.delete-command.cleans", "delete takes away the container of a shim that was killed", "SHIM-02, SHIM-06; SH-02",
      why: "A killed shim's container would go on running, with nobody to stop it, and its root file system stay mounted.",
      threads: ["containerd/containerd#4023"]
    ) { subject in
      let task = try await subject.started()
      let (shim, process) = try await task.connection()
      kill(pid_t(shim), SIGKILL)
      try await eventually("the shim's end after SIGKILL") { ShimScene.isAlive(pid_t(shim)) ? nil : true }
      let result = try await subject.command(task.id, bundle: task.bundle, ["-bundle", task.bundle, "delete"])
      try expectEqual(result.status, 0, "exit status of delete (\(result.errors))")
      let answer = try Containerd_Task_V2_DeleteResponse(serializedBytes: result.output)
      try expect(answer.exitStatus == 137, "exit status that delete tells: expected 137, got \(answer.exitStatus)")
      try expect(answer.hasExitedAt && answer.exitedAt.seconds > 0, "delete tells no time of the end")
      try await eventually("the end of the container's process \(process) after delete", within: 5) { ShimScene.isAlive(pid_t(process)) ? nil : true }
      try expectEqual(try subject.scene.mounts(), [], "what is mounted in the bundle after delete")
      try expectEqual(try subject.scene.cgroups(), [], "control groups after delete")
      subject.scene.forget(task.id)
    },
    ContractCase(
      "shim.delete-command.nothing", "delete of a container that never was succeeds", "SHIM-02; SH-02", level: .should,
      why: "A daemon that cleans up after a crash cannot know how far the start had come."
    ) { subject in
      let bundle = try await subject.scene.makeBundle("none", configuration: subject.configuration("none", ShimSubject.Program()))
      let result = try await subject.command("none", bundle: bundle, ["-bundle", bundle, "delete"])
      subject.scene.forget("none")
      try expectEqual(result.status, 0, "exit status of delete (\(result.errors))")
    },
    ContractCase(
      "shim.create.fails", "a creation that fails says why and leaves no process and no mount", "SHIM-01; SH-14",
      why: "The error's text is all that a user sees; what is left keeps the snapshot busy.", threads: ["containerd/containerd#9309"]
    ) { subject in
      let broken = subject.configuration("c", ShimSubject.Program()).replacing("/bin/sh", with: "/bin/no-such-program")
      let task = try await subject.shim(configuration: broken)
      let message = try await messageOfError(from: "create and start of a program that is not there") {
        _ = try await task.create()
        try await task.start()
      }
      try expect(message.contains("no-such-program"), "the error does not name the program that is not there: \(message)")
      // A container that was made before the program was looked for is deleted as usual.
      do { try await task.delete() } catch is ContainerdError {}
      try expectEqual(try subject.scene.mounts(), [], "what is mounted after the failed creation")
      try await task.leave()
    },
    ContractCase(
      "shim.create.bad-spec", "a specification that cannot be read is an error of create", "SHIM-01; SH-14",
      why: "A shim that dies of it, or takes it, leaves the daemon without an answer."
    ) { subject in
      let bundle = try await subject.scene.makeBundle("c", configuration: #"{"ociVersion":"1.0.2"}"#)
      // A shim may read the specification already when it starts.
      let result = try await subject.command("c", bundle: bundle, ["start"])
      if result.status == 0 {
        let socket = try ShimAddress.socket(in: result.output)
        subject.scene.remember(socket: socket)
        let task = ShimTask(
          subject: subject, id: "c", bundle: bundle, socket: socket, calls: try await subject.open(socket), program: ShimSubject.Program())
        let message = try await messageOfError(from: "create with a specification without a process") { _ = try await task.create() }
        try expect(!message.isEmpty, "the error has no text")
        try expectEqual(try subject.scene.mounts(), [], "what is mounted after the failed creation")
        try await task.leave()
      }
    },
    ContractCase(
      "shim.create.runs-nothing", "create runs nothing of the user's; start runs the program once", "SHIM-07; SH-03",
      why: "Networks are set up between the two."
    ) { subject in
      let task = try await subject.created("c", ShimSubject.Program("echo run >> /ran; sleep 1000"))
      let file = subject.scene.rootfs + "/ran"
      usleep(50_000)
      try expect(!Files.exists(file), "the program ran before start")
      try await task.start()
      try await eventually("the program's file after start") { Files.exists(file) ? true : nil }
      usleep(20_000)
      try expectEqual(String(decoding: try Files.read(file), as: UTF8.self), "run\n", "what the program wrote")
      try await task.end()
    },
    ContractCase(
      "shim.rootfs.mounted", "the shim mounts the root file system and unmounts it on delete", "SHIM-05; SH-21",
      why: "Without it the container has no files, or the snapshot cannot be removed."
    ) { subject in
      let task = try await subject.created()
      try expectEqual(try subject.scene.mounts(), [task.bundle + "/rootfs"], "what is mounted in the bundle after create")
      try await task.start()
      try await task.kill()
      _ = try await task.wait()
      try await task.delete()
      try expectEqual(try subject.scene.mounts(), [], "what is mounted in the bundle after delete")
      try await task.leave()
    },
  ]
}
