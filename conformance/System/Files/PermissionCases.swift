import CLinux
import ConformanceSuites
import Protocols

extension MountSuite {
  /// A version 2 ACL as the kernel keeps it: owner, one user, group, mask, others.
  private static func accessList(user: UInt32) -> [UInt8] {
    func entry(_ tag: UInt16, _ permissions: UInt16, _ id: UInt32) -> [UInt8] {
      [tag, permissions].flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] } + (0..<4).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
    }
    let none = UInt32.max
    return [2, 0, 0, 0] + entry(1, 6, none) + entry(2, 4, user) + entry(4, 4, none) + entry(16, 4, none) + entry(32, 0, none)
  }
  /// Version 2, cap_net_raw permitted and effective.
  private static let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0] + [UInt8](repeating: 0, count: 12)

  private static func lower(_ place: Place) {
    place.mkdir("dir")
    place.mkdir("private", 0o700)
    place.write("private/secret", "secret")
    for (name, mode) in [("suid", 0o4755), ("sgid", 0o2755), ("both", 0o6711), ("plain", 0o644), ("none", 0o000), ("wide", 0o777)] as [(String, mode_t)] {
      place.write(name, name)
      place.chown(name, 1000, 1001)
      place.chmod(name, mode)
    }
    place.mkdir("sticky")
    place.chmod("sticky", 0o1777)
    place.write("sticky/owned", "x")
    place.chown("sticky/owned", 1000, 1000)
    place.mkdir("inherits")
    place.chown("inherits", 0, 77)
    place.chmod("inherits", 0o2775)
    place.symlink("plain", "link")
  }

  /// SP-01, SP-03 … SP-13, SP-19: who may do what.
  static let permissions: [ContractCase<MountSubject>] = [
    likePlain(
      "permissions.first-change", "a file's first change keeps its mode, owners, attributes and times, but those that are changed", "SNAP-10",
      why: "A file that changes hands by being touched is a hole in the container's rules.", threads: ["containers/fuse-overlayfs#407"],
      lower: { place in
        lower(place)
        for name in ["suid", "sgid", "both", "plain", "link", "dir"] {
          if name != "link" { place.setAttribute(name, "user.note", bytes("of \(name)")) }
          place.setTimes(name, seconds: 1_000_000, nanoseconds: 500)
        }
      }
    ) { place in
      place.link("suid", "suid2")
      place.setAttribute("sgid", "user.other", bytes("x"))
      place.setTimes("both", seconds: 5, nanoseconds: 5)
      place.chmod("plain", 0o600)
      place.chown("link", 5, 5)
      place.write("dir/new", "x")
      for name in ["suid", "suid2", "sgid", "both", "plain", "link", "dir"] {
        place.stat(name)
        place.attributes(name)
        place.attribute(name, "user.note")
      }
      for name in ["suid", "sgid", "both", "plain"] { place.modified(name) }
    },
    layersLikePlain(
      "permissions.layers", "modes with set-uid, set-gid and sticky bits, owners and attributes are the same in every later layer", "SNAP-10, LY-03",
      why: "sudo and ping stop working, or anybody may write into /tmp.",
      layers: [
        lower, { $0.write("second", "x") },
        { place in
          place.chmod("plain", 0o4750)
          place.chown("wide", 8, 9)
        },
      ]
    ) { place in
      for name in ["dir", "private", "suid", "sgid", "both", "plain", "none", "wide", "sticky", "sticky/owned", "inherits", "link"] { place.stat(name) }
    },
    layersLikePlain(
      "permissions.root", "the root directory's mode, owners and times are those that the last layer gave it", "SNAP-10",
      why: "A root that others may not enter locks every service out that is not root's.",
      threads: ["moby/moby#44140", "awslabs/soci-snapshotter#664", "containerd/containerd#3017"],
      layers: [
        { place in
          place.chmod("", 0o711)
          place.chown("", 5, 6)
          place.write("f", "x")
        }, { $0.write("g", "x") },
      ]
    ) { $0.stat("") },
    ContractCase(
      "permissions.root.empty", "the root of a snapshot without parents may be entered and read by everybody", "SNAP-10", needs: [.files],
      why: "Services that are not root's cannot start.", threads: ["moby/moby#44140"]
    ) { subject in
      try await subject.enter(try await subject.prepare("container")) { place in
        try expectEqual(place.stat(""), "directory 755 0:0", "the root of an empty snapshot")
      }
    },
    likePlain(
      "permissions.chown-clears", "a change of owner or contents clears set-uid and set-gid as in a plain directory", "chown(2); FS-26",
      why: "A program that stays set-uid after it changed hands gives the new owner's power to everybody.", lower: lower
    ) { place in
      for name in ["suid", "sgid", "both"] {
        place.chown(name, 2000, 2000)
        place.stat(name)
      }
      place.write("fresh", "x")
      place.chmod("fresh", 0o6755)
      place.chown("fresh", 1, 1)
      place.stat("fresh")
    },
    likePlain(
      "permissions.ids", "owners and groups are kept up to 4294967294", "chown(2); FS-27",
      why: "Directory services and user namespaces use large ids; one that is cut is somebody else's.",
      lower: { place in
        place.write("f", "x")
        place.chown("f", 4_294_967_294, 2_147_483_648)
      }
    ) { place in
      place.stat("f")
      place.chmod("f", 0o640)
      place.stat("f")
      place.write("g", "x")
      place.chown("g", 65_536, 4_294_967_294)
      place.stat("g")
      place.chown("g", 4_294_967_295, 3)
      place.stat("g")
      place.mkdir("d")
      place.chown("d", 3_000_000_000, 1)
      place.stat("d")
    },
    layersLikePlain(
      "permissions.capability", "file capabilities are kept through layers and a first change, and lost when the contents change", "LY-03; capabilities(7)",
      why: "Programs that were given a capability instead of set-uid root lose it, or keep it with other contents.",
      threads: ["google/gvisor#13282", "containers/fuse-overlayfs#352"],
      layers: [
        { place in
          place.write("ping", "#!program", mode: 0o755)
          place.setAttribute("ping", "security.capability", capability)
          place.write("other", "#!program")
          place.setAttribute("other", "security.capability", capability)
        }, { $0.link("ping", "ping2") },
      ]
    ) { place in
      for name in ["ping", "ping2", "other"] {
        place.attribute(name, "security.capability")
        place.attributes(name)
      }
    },
    likePlain(
      "permissions.attributes", "attributes are set, listed, replaced, refused and removed as in a plain directory, also on files of the layers below",
      "xattr(7); FS-29",
      why: "Capabilities, access lists and labels are attributes.", threads: ["containerd/containerd#7093"],
      lower: { place in
        lower(place)
        for name in ["plain", "dir"] {
          place.setAttribute(name, "user.one", bytes("1"))
          place.setAttribute(name, "user.two", bytes("2"))
        }
        place.setAttribute("plain", "trusted.mine", bytes("root's"))
      }
    ) { place in
      for name in ["plain", "dir"] {
        place.attributes(name)
        place.removeAttribute(name, "user.one")
        place.attribute(name, "user.one")
        place.setAttribute(name, "user.two", bytes("another"))
        place.setAttribute(name, "user.two", bytes("x"), flags: 1)
        place.setAttribute(name, "user.none", bytes("x"), flags: 2)
        place.removeAttribute(name, "user.none")
        place.setAttribute(name, "user.empty", [])
        place.setAttribute(name, "user.large", pattern(1, count: 3000))
        place.setAttribute(name, "nonsense.x", bytes("x"))
        place.attribute(name, "user.large")
        place.attributes(name)
        place.attribute(name, "user.two")
      }
      place.attribute("plain", "trusted.mine")
      place.setAttribute("link", "user.x", bytes("x"))
      place.setAttribute("link", "trusted.x", bytes("x"))
      place.attributes("link")
      place.attribute("missing", "user.x")
    },
    likePlain(
      "permissions.attributes-many", "many and large attributes are kept, or refused as the file system below refuses them, also through a first change",
      "xattr(7); FS-30",
      why: "An attribute that vanishes silently is a label or an access list that no longer protects.",
      lower: { place in
        place.write("f", "x")
        for number in 0..<30 { place.setAttribute("f", "user.number-\(number)", pattern(number, count: 60)) }
      }
    ) { place in
      place.attributes("f")
      place.chmod("f", 0o600)
      place.attributes("f")
      for number in [0, 15, 29] { place.attribute("f", "user.number-\(number)") }
      place.setAttribute("f", "user.huge", pattern(99, count: 65_536))
      place.setAttribute("f", "user.too-huge", pattern(99, count: 65_537))
      place.write("g", "x")
      place.setAttribute("g", "user.huge", pattern(99, count: 65_536))
      place.attributes("f")
    },
    likePlain(
      "permissions.access-lists", "POSIX access lists are kept through a first change, limit the mode and are inherited", "acl(5); FS-31",
      why: "Without them files are open to more people, or fewer, than their owner meant.",
      lower: { place in
        place.write("f", "x")
        place.setAttribute("f", "system.posix_acl_access", accessList(user: 1000))
        place.mkdir("d")
        place.setAttribute("d", "system.posix_acl_default", accessList(user: 1001))
      }
    ) { place in
      place.stat("f")
      place.write("f", "changed", flags: 0)
      place.attribute("f", "system.posix_acl_access")
      place.chmod("f", 0o660)
      place.stat("f")
      place.attribute("f", "system.posix_acl_access")
      place.write("d/new", "x")
      place.stat("d/new")
      place.attribute("d/new", "system.posix_acl_access")
      place.mkdir("d/sub")
      place.attribute("d/sub", "system.posix_acl_default")
      place.setAttribute("f", "system.posix_acl_access", [2, 0, 0, 0, 9])
    },
    likePlain(
      "permissions.directory.restrictive", "a directory that only its owner may enter stays so when something is changed in it", "SNAP-10",
      why: "Keys and mail lie open, if only for a moment.", threads: ["containers/fuse-overlayfs#470"], lower: lower
    ) { place in
      place.write("private/new", "x")
      place.write("private/secret", "changed")
      place.stat("private")
      place.unlink("private/secret")
      place.rename("private/new", "private/newer")
      place.stat("private")
      place.list("private")
    },
    likePlain(
      "permissions.not-root", "who is not root may do exactly what modes and owners allow", "path_resolution(7); FS-09",
      why: "Services run as users of their own: they must get in where they may, and nowhere else.", lower: lower
    ) { place in
      place.note("become user 1000") { clinux_become_for_files(1000, 1001) == 1 ? 0 : -1 }
      for name in ["private", "private/secret", "none", "plain", "suid", "sticky"] { place.stat(name) }
      for name in ["private/secret", "none", "plain", "wide"] { place.read(name) }
      place.list("private")
      for name in ["dir/new", "sticky/new", "inherits/new", "wide", "plain", "none"] { place.write(name, "by 1000") }
      place.chmod("plain", 0o600)
      place.chmod("dir", 0o777)
      place.chown("plain", 2000, 1001)
      place.unlink("wide")
      place.unlink("sticky/owned")
      place.unlink("sticky/new")
      place.rename("plain", "sticky/plain")
      place.mkdir("sticky/sub")
      place.stat("sticky/sub")
      place.setAttribute("plain", "user.x", bytes("x"))
      place.setAttribute("wide", "trusted.x", bytes("x"))
      place.mknod("sticky/device", 0o020644, major: 1, minor: 3)
      place.truncate("none", to: 0)
      place.setTimes("dir", seconds: 5, nanoseconds: 5)
    },
    likePlain(
      "permissions.sticky", "in a sticky directory only owners delete and rename", "unlink(2); FS-04", why: "In /tmp everybody could take everybody's files.",
      lower: { place in
        lower(place)
        place.write("sticky/roots", "x")
      }
    ) { place in
      place.write("sticky/upper", "x")
      place.note("become user 1000") { clinux_become_for_files(1000, 1000) == 1 ? 0 : -1 }
      for name in ["sticky/roots", "sticky/upper", "sticky/owned"] {
        place.rename(name, "\(name)2")
        place.unlink(name)
      }
      place.list("sticky")
    },
    likePlain(
      "permissions.inherited-group", "what is made in a set-gid directory has the directory's group, and directories the bit", "inode(7); FS-28",
      why: "Shared directories no longer share.", lower: lower
    ) { place in
      place.write("inherits/f", "x")
      place.mkdir("inherits/d")
      place.mkdir("inherits/d/deeper")
      place.mknod("inherits/fifo", 0o010644)
      place.symlink("x", "inherits/l")
      for name in ["f", "d", "d/deeper", "fifo", "l"] { place.stat("inherits/\(name)") }
    },
  ]
}
