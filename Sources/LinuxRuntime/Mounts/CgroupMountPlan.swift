import CInit

extension Plan {
  /// A mount of type "cgroup": the unified file system, or a tmpfs with one mount for each v1 hierarchy, as the host has
  /// them. With a cgroup namespace of its own the container sees its cgroup as the root; without one its directories are
  /// bound.
  func addCgroupMount(
    _ mount: PreparedMount, cgroup: Cgroup, hierarchies: [CgroupHierarchy], ownNamespace: Bool, sources: [String: Int32]
  ) {
    let destination = mount.destination
    if hierarchies.allSatisfy(\.unified) || mount.spec.type == "cgroup2" {
      if ownNamespace {
        addFileSystem("cgroup2", source: "cgroup", destination: destination, options: mount.options, data: [])
      } else if let unified = cgroup.unified, let slot = sources[unified.path] {
        var options = mount.options
        options.set |= options.flags & 0xF
        addBind(slot: slot, source: unified.path, destination: destination, options: options)
      }
      return
    }
    var plain = MountOptions([])
    plain.flags = 2 | 4 | 8
    addFileSystem("tmpfs", source: "tmpfs", destination: destination, options: plain, data: ["mode=755"])
    let readonly = mount.options.flags & MountOptions.readonly
    for (hierarchy, directory) in zip(hierarchies, cgroup.directories) {
      let name = hierarchy.unified ? "unified" : String(hierarchy.mountPoint.split(separator: "/").last ?? "cgroup")
      let path = destination + "/" + name
      if ownNamespace {
        var options = plain
        options.flags |= readonly
        let isNamed = hierarchy.controllers.first?.hasPrefix("name=") ?? false
        addFileSystem(
          hierarchy.unified ? "cgroup2" : "cgroup", source: "cgroup", destination: path, options: options,
          data: hierarchy.unified ? [] : (isNamed ? ["none"] : []) + hierarchy.controllers)
      } else if let slot = sources[directory.path] {
        var options = MountOptions(["nosuid", "nodev", "noexec"])
        options.set |= readonly
        addBind(slot: slot, source: directory.path, destination: path, options: options)
      }
      for controller in hierarchy.controllers where !hierarchy.unified && hierarchy.controllers.count > 1 {
        add(CINIT_SYMLINK, "link \(controller) in \(destination)") {
          $0.path = self.text(destination + "/" + controller)
          $0.text = self.text(name)
          $0.resolve = Self.resolveFlags(destination)
        }
      }
    }
    if readonly != 0 { addReadonly(destination) }
  }
}
