import CLinux
import ConformanceKit
import ConformanceSystemSuites
import Protocols
import SystemKit

extension FileMutants {
  static let layers: [Mutant] = [
    mounted(
      "FS40", "the layers are stacked upside down", in: .whiteouts,
      kills: ["whiteouts.come-and-go", "whiteouts.kinds-matrix", "whiteouts.directory-made-again"]
    ) { mount in
      var mount = mount
      mount.options = mount.options.map { option in
        option.hasPrefix("lowerdir=") ? "lowerdir=" + option.dropFirst(9).split(separator: ":").reversed().joined(separator: ":") : option
      }
      return mount
    },
    commit("FS41", "deletions are forgotten by the commit", in: .whiteouts, kills: ["whiteouts.come-and-go", "whiteouts.kinds-matrix"]) { path, status in
      if OnDisk.isWhiteout(status) { unlink(path) }
    },
    commit(
      "FS42", "a directory that was made again shows the old one's contents", in: .whiteouts, kills: ["whiteouts.directory-made-again"],
      symptom: "in the mount EEXIST",
      threads: ["moby/moby#25244"]
    ) { path, _ in lremovexattr(path, "trusted.overlay.opaque") },
    commit(
      "FS43", "deletions are kept as .wh. files beside the mark", in: .whiteouts, kills: ["whiteouts.marks-unseen"], symptom: ".wh.",
      threads: ["containerd/stargz-snapshotter#2214"]
    ) { path, status in
      guard OnDisk.isWhiteout(status), let slash = path.lastIndex(of: "/") else { return }
      try Files.writeAtomically([], to: String(path[...slash]) + ".wh." + String(path[path.index(after: slash)...]))
    },
    call("FS44", "private attributes are listed", in: .whiteouts, kills: ["whiteouts.private-attributes"], symptom: "shows") { calls, good in
      calls.attributes = { path, buffer in
        let name = "trusted.overlay.origin".utf8CString
        let count = good.attributes(path, buffer)
        if count < 0 { return count }
        for (offset, byte) in name.enumerated() { buffer[count + offset] = byte }
        return count + name.count
      }
    },
    commit("FS45", "a .wh. file of a container becomes a deletion", in: .whiteouts, kills: ["whiteouts.wh-names"], symptom: "above .wh.victim") { path, _ in
      guard let range = path.lastIndex(of: "/"), path[range...].hasPrefix("/.wh.") else { return }
      unlink(path)
      mknod(String(path[...range]) + String(path[range...].dropFirst(5)), 0o020000, 0)
    },
    call("FS46", "a device 0:0 deletes", in: .whiteouts, kills: ["whiteouts.device-zero"], symptom: "0:0") { calls, good in
      calls.mknod = { path, mode, device in
        if mode & 0o170000 != 0o020000 || device != 0 { return good.mknod(path, mode, device) }
        _ = good.unlink(path)
        return 0
      }
    },
    mounted("FS47", "a container writes into its parent", kills: ["files.lower.unchanged"], symptom: "the committed snapshot") { mount in
      guard mount.type == "overlay", OnDisk.upper([mount]) != nil, let lower = OnDisk.lower([mount]).first else { return mount }
      return Mount(type: "bind", source: lower, options: ["rw", "rbind"])
    },
    mutant("FS48", "containers of one parent share what they write", kills: ["files.siblings.isolated"], symptom: "the other container sees") { subject in
      subject.snapshotter = SnapshotterWrapper(subject.snapshotter) {
        $0.onPrepare = { base, key, parent, labels in
          let own = try await base.prepare(key, parent: parent, labels: labels)
          return key == "two" ? try await base.mounts("one") : own
        }
      }
    },
    mounted("FS49", "a view can be written", kills: ["files.view.read-only"], symptom: "the view of one") { mount in
      var mount = mount
      mount.options.removeAll { $0 == "ro" }
      return mount
    },
  ]

  static let permissions: [Mutant] = [
    call("FP01", "a change of mode loses the attributes", in: .permissions, kills: ["permissions.first-change"], symptom: "attributes of") { calls, good in
      calls.chmod = { path, mode in
        _ = good.removeAttribute(path, "user.note")
        return good.chmod(path, mode)
      }
    },
    commit("FP02", "commit loses set-uid", in: .permissions, kills: ["permissions.layers"], symptom: "stat suid") { path, status in
      if status.st_mode & 0o170000 == 0o100000, status.st_mode & 0o4000 != 0 { chmod(path, status.st_mode & 0o3777) }
    },
    mutant(
      "FP03", "the root of a new snapshot is its owner's only", in: .permissions, kills: ["permissions.root", "permissions.root.empty"], symptom: "700",
      threads: ["moby/moby#44140"]
    ) { subject in
      subject.snapshotter = SnapshotterWrapper(subject.snapshotter) {
        $0.onPrepare = { base, key, parent, labels in
          let mounts = try await base.prepare(key, parent: parent, labels: labels)
          if let upper = OnDisk.upper(mounts) { chmod(upper, 0o700) }
          return mounts
        }
      }
    },
    call("FP04", "set-uid outlives a change of owner", in: .permissions, kills: ["permissions.chown-clears"], symptom: "stat suid") { calls, good in
      calls.lchown = { path, owner, group in
        var before = stat()
        _ = good.lstat(path, &before)
        let result = good.lchown(path, owner, group)
        _ = good.chmod(path, before.st_mode & 0o7777)
        return result
      }
    },
    call("FP05", "owners are cut at 16 bits", in: .permissions, kills: ["permissions.ids"], symptom: "stat") { calls, good in
      calls.lchown = { good.lchown($0, $1 & 0xffff, $2 & 0xffff) }
    },
    commit("FP06", "commit loses file capabilities", in: .permissions, kills: ["permissions.capability"], symptom: "security.capability") { path, _ in
      lremovexattr(path, "security.capability")
    },
    call("FP07", "XATTR_CREATE and XATTR_REPLACE mean nothing", in: .permissions, kills: ["permissions.attributes"], symptom: "EEXIST") { calls, good in
      calls.setAttribute = { path, name, value, _ in good.setAttribute(path, name, value, 0) }
    },
    call("FP08", "large attributes vanish without an error", in: .permissions, kills: ["permissions.attributes-many"], symptom: "user.huge") { calls, good in
      calls.setAttribute = { path, name, value, flags in value.count > 4096 ? 0 : good.setAttribute(path, name, value, flags) }
    },
    commit("FP09", "commit loses access lists", in: .permissions, kills: ["permissions.access-lists"]) { path, _ in
      lremovexattr(path, "system.posix_acl_access")
      lremovexattr(path, "system.posix_acl_default")
    },
    call(
      "FP10", "the first file that is made in a lower directory opens it to everybody", in: .permissions, kills: ["permissions.directory.restrictive"],
      symptom: "stat private", threads: ["containers/fuse-overlayfs#470"]
    ) { calls, good in
      calls.open = { path, flags, mode in
        if flags & O_CREAT != 0 { _ = good.chmod(parent(path), 0o755) }
        return good.open(path, flags, mode)
      }
    },
    mutant("FP11", "the root of the mount may only be entered by root", in: .permissions, kills: ["permissions.not-root"], symptom: "EACCES") { subject in
      subject.access = AlteredTrees(base: subject.access, entered: { root in chmod(root, 0o700) })
    },
    commit("FP12", "commit loses sticky bits", in: .permissions, kills: ["permissions.sticky"], symptom: "sticky/") { path, status in
      if status.st_mode & 0o1000 != 0 { chmod(path, status.st_mode & 0o6777) }
    },
    call("FP13", "directories do not inherit the set-gid bit", in: .permissions, kills: ["permissions.inherited-group"], symptom: "stat inherits/d") {
      calls, good in
      calls.mkdir = { path, mode in
        let result = good.mkdir(path, mode)
        _ = good.chmod(path, mode & 0o777)
        return result
      }
    },
  ]
}
