extension Statement {
  /// The parts of config.json for Linux.
  static let linux: [Statement] = [
    Statement("LX-01", .linux, "Namespaces", .must, "the path of a namespace is absolute in the runtime's mount namespace"),
    Statement("LX-02", .linux, "Namespaces", .must, "the container joins the namespace at the path"),
    Statement("LX-03", .linux, "Namespaces", .must, "a path to a namespace of another type is an error"),
    Statement("LX-04", .linux, "Namespaces", .must, "without a path a new namespace is made"),
    Statement("LX-05", .linux, "Namespaces", .must, "a type that is not listed is inherited"),
    Statement("LX-06", .linux, "Namespaces", .must, "a type listed twice is an error"),
    Statement("LX-07", .linux, "Namespaces", .should, "pid, network, mount, ipc, uts, user, cgroup and time namespaces are supported"),
    Statement(
      "LX-08", .linux, "User namespace mappings", .should, "ownership of the root is not rewritten to realise id mappings",
      exempt: "a root that the mapped ids own already shows no difference, and one that they do not own is not promised to work"),
    Statement(
      "LX-09", .linux, "Default Filesystems", .should, "/proc, /sys, /dev/pts and /dev/shm are there",
      exempt: "a configuration lists these file systems as its mounts; without them a runtime may give them or not"),
    Statement("LX-10", .linux, "Devices", .must, "configured devices are there; another file in their place is an error"),
    Statement("LX-11", .linux, "Default Devices", .must, "null, zero, full, random, urandom, tty and ptmx are there without being asked for"),
    Statement("LX-12", .linux, "Dev symbolic links", .must, "/dev/fd, stdin, stdout and stderr are links, made after the mounts"),
    Statement("LX-13", .linux, "File descriptors", .must, "only descriptors 0 to 2 stay open, and those of socket activation"),
    Statement(
      "LX-14", .linux, "Network Devices", .must, "a network device is moved without clash of names, keeps its attributes, and is then left alone",
      exempt: "of version 1.3 of the specification, which the runtimes in distributions do not know and so must ignore"),
    Statement(
      "LX-20", .linux, "Control groups", .may, "an unfit cgroup may be noticed, and is an error then",
      exempt: "a permission to look, and a cgroup of the tester's would have to be frozen under the runtime"),
    Statement("LX-21", .linux, "Cgroups Path", .must, "an absolute cgroupsPath is relative to the cgroup mount"),
    Statement("LX-22", .linux, "Cgroups Path", .must, "the same cgroupsPath leads to the same place"),
    Statement(
      "LX-23", .linux, "Cgroups Path", .must, "an invalid cgroupsPath is an error",
      exempt: "which paths are invalid is not said: what one cgroup manager refuses another makes"),
    Statement(
      "LX-24", .linux, "Cgroup ownership", .should, "a cgroup changes its owner only under version 2, a cgroup namespace and a writable mount",
      exempt: "needs a cgroup tree that was delegated to the suite, and depends on how the machine was started"),
    Statement(
      "LX-25", .linux, "Allowed Device list", .must, "device rules are applied in the order of the list",
      exempt: "needs to read the device program of a cgroup, or cgroups of version 1: machines of a usual CI give neither"),
    Statement(
      "LX-26", .linux, "Unified", .must, "unified enables the controllers needed, writes keys unknown to it too, and fails where a controller is absent",
      exempt: "needs controllers delegated to the suite: which there are depends on how the machine was started"),
    Statement(
      "LX-27", .linux, "Control groups", .must, "version 1 settings that cannot be turned into version 2 are an error",
      exempt: "which settings cannot be turned is left to each runtime"),
    Statement(
      "LX-30", .linux, "Seccomp", .must,
      "errnoRet belongs to actions that give an errno; a rule names a call; a listener gets the state once, with the descriptors"),
    Statement("LX-31", .linux, "Masked Paths", .must, "masked paths cannot be read"),
    Statement("LX-32", .linux, "Readonly Paths", .must, "read-only paths cannot be written"),
    Statement(
      "LX-33", .linux, "IntelRdt", .must, "cache allocation needs resctrl, is left alone where not asked for, and only what was made is removed",
      exempt: "needs a processor with resctrl, which no machine of a usual CI has"),
    Statement("LX-34", .linux, "Rootfs Mount Propagation", .must, "rootfsPropagation is how mounts of the container's root propagate"),
    Statement("LX-35", .linux, "User namespace mappings", .must, "ids in the container are those of the host that the mappings name"),
  ]
}
