import CLinux
import ConformanceSuites

extension MountSuite {
  private static func some(_ place: Place) {
    place.mkdir("dir")
    place.write("dir/one", "1")
    place.mkdir("full")
    place.write("full/inside", "x")
    place.mkdir("empty")
    place.write("a", "lower a")
    place.write("b", "lower b")
    place.symlink("a", "to-a")
  }

  /// SF-11, SF-12: what becomes of names.
  static let naming: [ContractCase<MountSubject>] = [
    likePlain(
      "files.rename.matrix", "rename replaces, refuses and moves as in a plain directory, whatever layer the names are from", "SNAP-10; rename(2)",
      why: "Package managers and databases replace files by rename; another error number, or a lost file, breaks their updates.", lower: some
    ) { place in
      place.write("new", "upper new")
      place.mkdir("new-dir")
      for (old, new) in [
        ("a", "b"), ("new", "a"), ("b", "dir/moved"), ("dir/one", "one"), ("missing", "x"), ("a", "missing/x"), ("a", "full"), ("new-dir", "a"),
        ("new-dir", "full"), ("new-dir", "empty"), ("to-a", "dir/to-a"), ("a", "a"), ("empty", "empty/below"),
      ] { place.rename(old, new) }
      for name in ["", "dir", "full", "empty"] { place.list(name) }
      for name in ["a", "b", "dir/moved", "one"] { place.read(name) }
      place.readlink("dir/to-a")
    },
    likePlain(
      "files.rename.flags", "RENAME_NOREPLACE never replaces and RENAME_EXCHANGE swaps both names", "SNAP-10; renameat2(2)",
      why: "Who asks for no replacement and is not heeded loses the file that was there.", lower: some
    ) { place in
      let (noReplace, exchange): (UInt32, UInt32) = (1, 2)
      place.write("new", "upper")
      place.rename("new", "a", flags: noReplace)
      place.rename("a", "b", flags: noReplace)
      place.rename("new", "fresh", flags: noReplace)
      place.rename("a", "b", flags: exchange)
      place.rename("fresh", "a", flags: exchange)
      place.rename("a", "missing", flags: exchange)
      place.rename("a", "b", flags: noReplace | exchange)
      for name in ["a", "b", "fresh"] { place.read(name) }
      place.list("")
    },
    likePlain(
      "files.rmdir.whited-out", "a directory whose lower entries are all deleted is empty, and one with an entry left is not", "LY-12; rmdir(2)",
      why: "A directory that looks empty and cannot be removed, or is removed with files in it, is the classic fault of union file systems.",
      threads: ["moby/moby#25244", "containers/fuse-overlayfs#143"], lower: some
    ) { place in
      place.rmdir("full")
      place.unlink("full/inside")
      place.list("full")
      place.rmdir("full")
      place.stat("full")
      place.mkdir("full")
      place.list("full")
      place.write("full/again", "new")
      place.list("full")
      place.rmdir("full")
      place.unlink("dir/one")
      place.mkdir("other")
      place.rename("other", "dir")
      place.list("dir")
      place.list("")
    },
    likePlain(
      "files.names.lookup", "names that are missing, too long, no directory or looping give their own errors", "path_resolution(7); FS-07",
      why: "Programs tell a missing file from a broken path by the error number.", lower: some
    ) { place in
      place.symlink("loop-b", "loop-a")
      place.symlink("loop-a", "loop-b")
      place.symlink("nowhere", "dangling")
      for name in ["missing", "missing/x", "a/x", "to-a/x", "loop-a", "dangling", "dir/../a", "dir/./one", String(repeating: "n", count: 256)] {
        place.read(name)
      }
      place.mkdir("a")
      place.mkdir("dir")
      place.rmdir("a")
      place.unlink("missing")
      place.symlink("x", "a")
      place.link("missing", "y")
      place.link("a", "b")
      place.write("dangling", "through")
      place.read("nowhere")
      place.list("")
    },
    likePlain(
      "files.names.long", "names of 255 bytes can be made, found, renamed and deleted", "path_resolution(7); FS-07, FS-08", needs: [.longNames],
      why: "Files with long names are in real images; pulling those then fails."
    ) { place in
      let (long, other) = (String(repeating: "n", count: 255), String(repeating: "m", count: 255))
      place.write(long, "contents")
      place.read(long)
      place.list("")
      place.rename(long, other)
      place.stat(long)
      place.mkdir(long)
      place.unlink(other)
      place.rmdir(long)
      place.list("")
    },
    likePlain(
      "files.names.distinct", "names differ by case, by Unicode form and by every byte", "path_resolution(7); FS-08",
      why: "Names that fall together overwrite one another's contents.", lower: { $0.write("case", "lower") }
    ) { place in
      for name in ["CASE", "Case", "\u{e9}", "e\u{301}", "with space", "line\nbreak", "-dash", "back\\slash", "a:b,c=d", ".hidden", "..."] {
        place.write(name, name)
      }
      for name in ["case", "CASE", "Case", "\u{e9}", "e\u{301}", "line\nbreak", "back\\slash", "a:b,c=d", "..."] { place.read(name) }
      place.unlink("CASE")
      place.unlink("e\u{301}")
      place.list("")
    },
  ]
}

extension Capability {
  /// Names of 255 bytes. (fuse-overlayfs keeps some for whiteouts.)
  public static let longNames = Capability("longNames")
}
