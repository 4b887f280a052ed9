import CLinux
import ConformanceSuites

extension MountSuite {
  private static func lower(_ place: Place) {
    place.write("file", "lower")
    place.mkdir("dir")
    for name in ["x", "y", "z"] { place.write("dir/\(name)", name) }
    place.symlink("file", "link")
    place.mknod("fifo", 0o010644)
    place.mknod("null", 0o020666, major: 1, minor: 3)
    place.mknod("socket", 0o140755)
  }

  /// SF-24 … SF-29, SF-34, SF-36: kinds of files, directories, times.
  static let kinds: [ContractCase<MountSubject>] = [
    likePlain(
      "files.readdir.types", "a directory lists every entry once, with its type, whichever layer it is from", "readdir(3); FS-17",
      why: "find and shells trust the type that is told; entries told twice are handled twice.", lower: lower
    ) { place in
      place.write("upper", "x")
      place.write("file", "changed")
      place.unlink("link")
      place.symlink("dir", "link2")
      place.mknod("fifo2", 0o010600)
      place.mkdir("dir2")
      place.list("")
      place.write("dir/new", "x")
      place.unlink("dir/y")
      place.list("dir")
      place.note(
        "its dots", (place.calls.list(place.path("dir")) ?? []).filter { $0.name == "." || $0.name == ".." }.map(\.name).sorted().joined(separator: " "))
    },
    likePlain(
      "files.readdir.while-deleting", "a directory can be emptied while it is read, and no entry is left out", "readdir(3); FS-17",
      why: "rm -r reads and deletes in turn; what it is not shown, it leaves, and the directory cannot be removed.",
      threads: ["containers/fuse-overlayfs#93", "containers/fuse-overlayfs#271"],
      lower: { place in
        place.mkdir("many")
        for number in 0..<300 { place.write("many/lower-\(number)", "") }
      }
    ) { place in
      for number in 0..<300 { _ = place.calls.close(place.calls.open(place.path("many/upper-\(number)"), O_CREAT | O_WRONLY, 0o644)) }
      var (seen, failed) = (0, 0)
      if let stream = opendir(place.path("many")) {
        while let entry = readdir(stream) {
          let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
          if name == "." || name == ".." { continue }
          seen += 1
          if place.calls.unlink(place.path("many/\(name)")) < 0 { failed += 1 }
        }
        closedir(stream)
      }
      place.note("delete each entry as it is read", "\(seen) seen, \(failed) not deleted")
      place.list("many")
      place.rmdir("many")
    },
    likePlain(
      "files.kinds.made", "every kind of file can be made, is told for what it is, and deleted", "mknod(2); FS-18",
      why: "Images and programs have FIFOs, sockets and devices; a pull or start fails where they cannot be made.", lower: lower
    ) { place in
      for name in ["fifo", "null", "socket", "link"] { place.stat(name) }
      place.mknod("fifo2", 0o010640)
      place.mknod("zero", 0o020600, major: 1, minor: 5)
      place.mknod("block", 0o060600, major: 7, minor: 300)
      place.mknod("large", 0o020600, major: 4000, minor: 1_000_000)
      place.mknod("plain", 0o100600)
      for name in ["fifo2", "zero", "block", "large", "plain"] { place.stat(name) }
      place.chmod("null", 0o600)
      place.chown("fifo", 7, 8)
      for name in ["null", "fifo"] { place.stat(name) }
      place.rename("fifo", "dir/fifo")
      place.unlink("null")
      place.unlink("socket")
      place.mkdir("null")
      place.list("")
      place.list("dir")
    },
    likePlain(
      "files.kinds.fifo", "what is written into a FIFO comes out of it, also into one of a layer below", "fifo(7); FS-19",
      why: "Programs of one container speak to each other through FIFOs of the image.", lower: lower
    ) { place in
      place.mknod("own", 0o010600)
      for name in ["fifo", "own"] {
        place.close(place.open(name, O_WRONLY | O_NONBLOCK))
        let reader = place.open(name, O_RDONLY | O_NONBLOCK)
        let writer = place.open(name, O_WRONLY | O_NONBLOCK)
        place.write(writer, "through the FIFO")
        place.close(writer)
        place.read(reader)
        place.close(reader)
      }
    },
    likePlain(
      "files.kinds.socket", "a UNIX socket is bound, connected to, spoken through, and deleted", "unix(7); FS-20",
      why: "Databases and service managers speak over sockets in the container's tree.", threads: ["moby/moby#12080"], lower: lower
    ) { place in
      // Addresses are short, roots are long: from inside.
      place.note("enter the root") { chdir(place.root) }
      func address(_ name: String) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(name.utf8)) }
        return address
      }
      func with(_ name: String, _ call: (__CONST_SOCKADDR_ARG, socklen_t) -> Int32) -> Int32 {
        var address = address(name)
        return withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(__CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
      }
      let stream = Int32(SOCK_STREAM.rawValue) | 0o4000
      let (server, client) = (socket(AF_UNIX, stream, 0), socket(AF_UNIX, stream, 0))
      place.note("bind") { with("sock") { bind(server, $0, $1) } }
      place.note("connect before listen") { with("sock") { connect(client, $0, $1) } }
      place.note("listen") { listen(server, 1) }
      place.note("connect") { with("sock") { connect(client, $0, $1) } }
      let accepted = accept4(server, __SOCKADDR_ARG(__sockaddr__: nil), nil, 0)
      place.note("accept") { accepted }
      place.note("send") { Int32(CLinux.write(client, "hello", 5)) }
      var buffer = [UInt8](repeating: 0, count: 16)
      let count = CLinux.read(accepted, &buffer, 16)
      place.note("receive", count < 0 ? Place.errorName() : shown(bytes: Array(buffer[..<count])))
      place.note("connect to the socket of the layer below") { with("socket") { connect(client, $0, $1) } }
      for file in [server, client, accepted] where file >= 0 { _ = CLinux.close(file) }
      place.stat("sock")
      place.unlink("sock")
      place.list("")
    },
    likePlain(
      "files.kinds.device", "a device node that is a device's can be opened", "mknod(2); FS-18",
      why: "Images carry /dev/null; what is redirected there must vanish.",
      lower: lower
    ) { place in
      for name in ["null", "own"] {
        if name == "own" { place.mknod(name, 0o020666, major: 1, minor: 3) }
        let device = place.open(name, O_RDWR)
        place.write(device, "gone")
        place.read(device)
        place.close(device)
        place.stat(name)
      }
    },
    likePlain(
      "files.exec", "a program with the right to run does, wherever it is from, and one without is refused", "execve(2); FS-21",
      why: "This is what images are for.",
      lower: { place in
        place.write("run", "#!/bin/sh\nexit 7\n")
        place.chmod("run", 0o755)
        place.write("not", "#!/bin/sh\nexit 7\n")
      }
    ) { place in
      func run(_ name: String) {
        var (pid, status): (pid_t, Int32) = (0, 0)
        let failure = place.path(name).withCString { path -> Int32 in
          var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), nil]
          defer { free(arguments[0]) }
          return posix_spawn(&pid, path, nil, nil, &arguments, clinux_environ())
        }
        if failure != 0 {
          place.note("run \(name)", command: "./\(name)", Place.errorName(failure))
        } else {
          waitpid(pid, &status, 0)
          place.note("run \(name)", command: "./\(name)", "exit code \(clinux_wexitstatus(status))")
        }
      }
      run("run")
      run("not")
      place.chmod("not", 0o755)
      run("not")
      place.chmod("run", 0o644)
      run("run")
      place.write("own", "#!/bin/sh\nexit 9\n", mode: 0o755)
      run("own")
      let writer = place.open("own", O_WRONLY)
      place.close(writer)
    },
    likePlain(
      "files.times.precision", "times are kept to the nanosecond, on files, directories and symbolic links of every layer", "utimensat(2); FS-25",
      why: "make and rsync compare times; a time that is cut makes everything look changed.",
      lower: { place in
        lower(place)
        for name in ["file", "dir", "link", "fifo"] { place.setTimes(name, seconds: 1_234_567_890, nanoseconds: 123_456_789) }
      }
    ) { place in
      for name in ["file", "dir", "link", "fifo"] { place.modified(name) }
      for name in ["file", "dir", "link", "fifo"] { place.setTimes(name, seconds: 987_654_321, nanoseconds: 999_999_999) }
      place.write("new", "x")
      place.setTimes("new", seconds: 1, nanoseconds: 1)
      for name in ["file", "dir", "link", "fifo", "new"] { place.modified(name) }
      place.setTimes("new", seconds: -1, nanoseconds: 5)
      place.modified("new")
      place.setTimes("file", seconds: 5_000_000_000, nanoseconds: 5)
      place.modified("file")
      place.chmod("dir", 0o700)
      place.modified("dir")
    },
    likePlain(
      "files.times.parent", "a directory's time changes when a name is made or deleted in it, and not when it is read", "SNAP-10; POSIX 4.9",
      why: "Caches of directories (shells, indexers, make) look at it.", lower: lower
    ) { place in
      func changes(_ what: String, _ body: () -> Void) {
        place.setTimes("dir", seconds: 1000, nanoseconds: 0)
        body()
        var status = CLinux.stat()
        _ = place.calls.lstat(place.path("dir"), &status)
        place.note("the directory's time after \(what)", status.st_mtim.tv_sec == 1000 ? "as before" : "changed")
      }
      changes("reading it") { place.list("dir") }
      changes("reading a file") { place.read("dir/x") }
      changes("changing a file's contents") { place.write("dir/x", "changed", flags: O_TRUNC) }
      changes("making a file") { place.write("dir/new", "x") }
      changes("deleting a lower file") { place.unlink("dir/y") }
      changes("deleting an upper file") { place.unlink("dir/new") }
      changes("renaming in it") { place.rename("dir/z", "dir/w") }
      changes("moving out of it") { place.rename("dir/w", "w") }
      changes("making a directory") { place.mkdir("dir/sub") }
    },
    likePlain(
      "files.cwd.deleted", "in a working directory that was deleted nothing can be made", "getcwd(2); FS-22",
      why: "Programs that clean up after themselves must fail cleanly, not write into nowhere.", threads: ["moby/moby#19082"], lower: lower
    ) { place in
      place.mkdir("here")
      place.note("enter it") { chdir(place.path("here")) }
      place.rmdir("here")
      place.note("make a file in it") { clinux_open("file", O_CREAT | O_WRONLY, 0o644) }
      place.note("make a directory in it") { CLinux.mkdir("sub", 0o755) }
      place.note("list it", (FileCalls().list(".") ?? []).map(\.name).sorted().joined(separator: " "))
      place.mkdir("here")
      place.note("make a file in the old one") { clinux_open("file", O_CREAT | O_WRONLY, 0o644) }
      place.list("here")
      place.note("leave it") { chdir("/") }
    },
    ContractCase(
      "files.statfs", "the file system tells how much there is, and takes names of 255 bytes", "statfs(2); FS-23", level: .should, needs: [.files],
      why: "Installers and databases refuse to start where no space is told."
    ) { subject in
      try await subject.layer("base", lower)
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        var about = CLinux.statfs64()
        try expect(statfs64(place.root, &about) == 0, "statfs: \(Place.errorName())")
        try expect(about.f_blocks > 0 && about.f_bavail <= about.f_blocks, "\(about.f_bavail) of \(about.f_blocks) blocks free")
        try expect(about.f_namelen >= 255, "names of at most \(about.f_namelen) bytes")
      }
    },
  ]
}
