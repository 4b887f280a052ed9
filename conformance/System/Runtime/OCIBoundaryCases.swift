import CLinux
import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  /// Where a runtime ends and storage begins, and where create ends and start begins, seen from outside.
  public static let boundaries: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "boundaries.runtime.storage-invisible", "a runtime needs nothing of the snapshot but the mounted root file system",
      "docs/architecture.md, law 5; LB-07; LAW-05",
      why: "The shim mounts, perhaps from where the runtime cannot look: a runtime that goes to the layers itself cannot run there."
    ) { site in
      let container = try site.container("echo ran >/data/mark; cat /data/mark")
      let storage = try Storage(under: container, in: site)
      try storage.hide()
      try expectEqual(try container.run(), 0, "exit code where the layers' directories are not to be seen")
      try expectEqual(container.lines, ["ran"], "what the program printed")
      try container.delete()
      try storage.show()
      try expectEqual(contents(storage.upper + "/data/mark"), "ran\n", "what the program wrote, in the snapshot's own directory")
    },
    oci(
      "boundaries.runtime.keeps-mounted", "a runtime undoes no mount that is not its own: the root file system stays mounted until the shim unmounts it",
      "docs/architecture.md, law 5; LB-08; RT-O30; LAW-05",
      why: "Whoever mounted must unmount: two who believe that it is theirs unmount another's, or nobody's."
    ) { site in
      let container = try site.container("exit 0")
      _ = try Storage(under: container, in: site)
      try expectEqual(try container.run(), 0, "exit code")
      try expect(OCISite.mountPoints().contains(container.rootfs), "when the program had ended, the root file system that the caller mounted was unmounted")
      try container.delete()
      try expect(OCISite.mountPoints().contains(container.rootfs), "delete unmounted the root file system that the caller mounted")
    },
    oci(
      "boundaries.split.network-between", "between create and start anybody can set up the network of the container, and the program finds it so",
      "docs/architecture.md, law 6; RT-L10, RT-O13; LB-13; LAW-06",
      why: "Networking is not the runtime's: plugins add interfaces to the namespace of a container that is created and has not started."
    ) { site in
      guard Files.exists("/usr/bin/nsenter") else { throw CaseSkipped(.tool, "/usr/bin/nsenter is missing: install util-linux") }
      let container = try site.container("ip addr show lo")
      container.config["linux"]["namespaces"].append(["type": "network"])
      try container.create()
      let pid = try container.pid()
      try expect(
        try container.namespace("net") != namespaceOfProcess("self", "net"), "after create the container has no network namespace of its own")
      for words in [["ip", "addr", "add", "10.97.13.1/32", "dev", "lo"], ["ip", "link", "set", "lo", "up"]] {
        var program = Program(words: ["nsenter", "--net=/proc/\(pid)/ns/net", OCISite.busybox] + words)
        (program.stdout, program.stderr) = (site.place + "/network.log", site.place + "/network.log")
        site.subject.note("set up the network of the created container", program.shell, "")
        let code = try Children.end(of: try program.spawn(), within: site.seconds(5))
        try expect(code == 0, "the network namespace of a created container could not be set up from outside: \(contents(site.place + "/network.log"))")
      }
      try expectEqual(container.output, "", "what the program printed before start")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expect(
        container.output.contains("10.97.13.1"), "the program did not find the address that was added between create and start; it saw: \(container.output)")
    },
    oci(
      "boundaries.split.nothing-of-the-image-runs", "while a container is created and not started, no program of its image is executed, or even read",
      "docs/architecture.md, law 6; RT-L11, RT-O14; LB-13; LAW-06",
      why: "An image is not trusted before start: whatever of it runs at create runs before policy, network and volumes are in place."
    ) { site in
      let container = try site.container("echo ran")
      try container.create()
      let pid = try container.pid()
      let program = container.rootfs + "/bin/busybox"
      let (own, held) = (try identity(program), try identity("/proc/\(pid)/exe"))
      try expect(own != held, "the process that holds the created container executes the image's program already")
      let watch = try OpenWatch(program)
      usleep(300_000)
      try expect(try watch.count() == 0, "between create and start the image's program was opened")
      for child in Children.all() where child != pid {
        try expect((try? identity("/proc/\(child)/exe")) != own, "process \(child) executes the image's program before start")  // one that ends has none
      }
      try container.expectStatus("created", "before start")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      try expect(try watch.count() > 0, "the suite did not see the program being opened at start")
    },
    oci(
      "boundaries.split.once", "start runs the program that create was given, once", "docs/architecture.md, law 6; RT-O21; LB-13; LAW-06",
      why: "A job that runs twice is paid twice."
    ) { site in
      let container = try site.container("echo run >>/data/runs; echo run")
      try container.create()
      try expect(!Files.exists(container.rootfs + "/data/runs"), "the program ran during create")
      try container.start()
      try expectEqual(try container.end(), 0, "exit code")
      usleep(100_000)
      let runs = contents(container.rootfs + "/data/runs").split(separator: "\n").count
      try expect(runs == 1, "the program ran \(runs) times for one start")
      _ = try container.tryVerb("start")  // refused or not: it must not run again
      usleep(200_000)
      let again = contents(container.rootfs + "/data/runs").split(separator: "\n").count
      try expect(again == 1, "after a second start the program had run \(again) times")
    },
  ]

  private static func identity(_ path: String) throws -> String {
    var info = stat()
    if stat(path, &info) != 0 { throw SystemError.last("stat", path) }
    return "\(info.st_dev):\(info.st_ino)"
  }
}

/// A root file system that is an overlay of layers, mounted by the caller as a shim does.
private struct Storage {
  let place: String
  var upper: String { place + "/2/fs" }

  init(under container: OCIContainer, in site: OCISite) throws {
    place = site.place + "/storage"
    for name in ["1", "2/fs", "2/work"] { try Files.makeDirectories("\(place)/\(name)") }
    if rename(container.rootfs, place + "/1/fs") != 0 { throw SystemError.last("rename", container.rootfs) }
    try Files.makeDirectories(container.rootfs)
    let options = ["lowerdir=\(place)/1/fs", "upperdir=\(place)/2/fs", "workdir=\(place)/2/work"]
    site.subject.note(
      "the layers, mounted as a root file system", "mount -t overlay overlay -o \(options.joined(separator: ",")) \(container.rootfs)", "")
    do { try Mounts.mount(type: "overlay", source: "overlay", target: container.rootfs, options: options) } catch {
      throw CaseSkipped(.environment, "the kernel mounts no overlay here: \(error)")
    }
  }

  /// From now on the layers' directories are not to be seen by any path.
  func hide() throws { try Mounts.mount(type: "tmpfs", source: "nothing", target: place, options: ["ro", "size=4k", "mode=000"]) }
  func show() throws { try Mounts.unmount(place) }
}

/// How often a file was opened since.
private final class OpenWatch {
  private let descriptor: Int32
  private var seen = 0

  init(_ path: String) throws {
    descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    if descriptor < 0 || inotify_add_watch(descriptor, path, UInt32(IN_OPEN | IN_ACCESS)) < 0 { throw SystemError.last("inotify", path) }
  }
  deinit { close(descriptor) }

  func count() throws -> Int {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 { return seen }
      seen += count / MemoryLayout<inotify_event>.size
    }
  }
}
