import CFuse
import LayerIndex
import Protocols
import SystemKit
import TestSupport
import Testing

@testable import FuseServer

/// Layers over each other, without a kernel.
@Suite struct MergedTreeTests {
  private func entry(_ kind: LayerIndex.Entry.Kind, _ name: String, link: String = "", size: Int64 = 0) -> LayerIndex.Entry {
    var entry = LayerIndex.Entry(kind: kind, name: Array(name.utf8), mode: 0o644, owner: 0, group: 0, seconds: 1, nanoseconds: 0)
    entry.link = Array(link.utf8)
    if kind == .file, size > 0 {
      entry.size = size
      entry.pieces = [LayerIndex.Piece(offset: 0, place: 0, count: size)]
    }
    return entry
  }
  private let scratch = ScratchDirectory("tree")
  private func flat(_ merged: MergedTree) throws -> FlatTree {
    let path = scratch.path + "/tree"
    try Files.writeAtomically(TreeFile.encode(merged), to: path)
    return try FlatTree(path: path)
  }
  private func file(_ name: String, _ size: Int64 = 0) -> LayerIndex.Entry { entry(.file, name, size: size) }
  private func layer(_ entries: [LayerIndex.Entry]) -> LayerIndex {
    let digest = Digest(.sha256, hash: [UInt8](repeating: 1, count: 32))
    return LayerIndex(blob: digest, size: 1 << 20, packing: .plain, diffID: digest, archiveSize: 1 << 20, spans: [], entries: entries)
  }

  /// `a/b:3` for a file of layer 3; `a/` for a directory; `a>b` for a link.
  private func tree(_ layers: [LayerIndex.Entry]...) throws -> [String] {
    var lines: [String] = []
    func walk(_ node: MergedTree.Node, _ path: String) {
      for (name, child) in node.children {
        let path = path + (path.isEmpty ? "" : "/") + String(decoding: name, as: UTF8.self)
        if child.isDirectory {
          lines.append(path + "/")
          walk(child, path)
        } else if child.entry?.kind == .symlink {
          lines.append("\(path)>\(String(decoding: child.entry?.link ?? [], as: UTF8.self))")
        } else {
          lines.append("\(path):\(child.layer)")
        }
      }
    }
    walk(try MergedTree(layers.map(layer)).root, "")
    return lines.sorted()
  }

  @Test func upperEntriesTakeThePlaceOfLowerOnes() throws {
    #expect(try tree([file("a"), file("d/b")], [file("./a"), file("/d/c")]) == ["a:1", "d/", "d/b:0", "d/c:1"])
    #expect(try tree([file("a/b")], [file("a")]) == ["a:1"])
    #expect(try tree([file("a")], [entry(.directory, "a/"), file("a/b")]) == ["a/", "a/b:1"])
    #expect(try tree([entry(.directory, "d"), file("d/a")], [entry(.directory, "d")]) == ["d/", "d/a:0"], "a directory over a directory keeps what is in it")
    #expect(try tree([file("a"), file("a")]) == ["a:0"])
  }

  @Test func deletionsTakeWhatIsBelowAndNothingElse() throws {
    #expect(try tree([file("a"), file("b")], [file(".wh.a")]) == ["b:0"])
    // Of its own layer it takes nothing, before or after.
    #expect(try tree([file("a")], [file("a"), file(".wh.a")]) == ["a:1"])
    #expect(try tree([file("a")], [file(".wh.a"), file("a")]) == ["a:1"])
    #expect(try tree([file("d/a"), file("d/b")], [file("d/c"), file("d/.wh..wh..opq")]) == ["d/", "d/c:1"])
    #expect(try tree([file("d/a")], [file(".wh.d"), file("d/b")]) == ["d/", "d/b:1"])
    #expect(try tree([file("a")], [file(".wh.b"), file("no/.wh.c")]) == ["a:0"], "what is not there needs no deletion")
    #expect(try tree([file("a")], [file(".wh.a")], [file("a")]) == ["a:2"])
    #expect(try tree([file("a")], [file(".wh..wh.plnk/12.34"), file(".wh..wh.aufs")]) == ["a:0"])
  }

  @Test func linksAreFollowedInsideTheTree() throws {
    let usr = [entry(.directory, "usr/lib"), entry(.symlink, "lib", link: "usr/lib")]
    #expect(try tree(usr, [file("lib/x")]) == ["lib>usr/lib", "usr/", "usr/lib/", "usr/lib/x:1"])
    #expect(try tree([entry(.symlink, "out", link: "../../..")], [file("out/x")]) == ["out>../../..", "x:1"], "above the root is the root")
    #expect(try tree([entry(.symlink, "abs", link: "/d"), file("d/y")], [file("abs/x"), file("abs/.wh.y")]) == ["abs>/d", "d/", "d/x:1"])
    #expect(throws: ContainerdError.self) { _ = try tree([entry(.symlink, "a", link: "b"), entry(.symlink, "b", link: "a")], [file("a/x")]) }
  }

  @Test func hardLinksAreOneFile() throws {
    let merged = try MergedTree([layer([file("a", 5)]), layer([entry(.hardlink, "b", link: "a"), entry(.hardlink, "d/c", link: "./b")])])
    let flat = try flat(merged)
    #expect(flat.count == 3, "the root, the directory, one file")
    let links = (0..<flat.count).map { flat.tree.pointee.nodes[$0].links }
    #expect(links.sorted() == [2, 3, 3])
    #expect(throws: ContainerdError.self) { _ = try tree([entry(.hardlink, "b", link: "gone")]) }
    #expect(throws: ContainerdError.self) { _ = try tree([entry(.directory, "d"), entry(.hardlink, "b", link: "d")]) }
  }

  /// As whoever unpacks the layer in its order comes to it.
  @Test func deletionsFollowTheLayersOwnLinks() throws {
    let lower = [entry(.directory, "d"), file("d/x"), file("d/y"), entry(.symlink, "l", link: "d")]
    func over(_ upper: LayerIndex.Entry...) throws -> [String] { try tree(lower, upper) }
    #expect(try over(entry(.symlink, "own", link: "d"), file("own/.wh.x")) == ["d/", "d/y:0", "l>d", "own>d"])
    #expect(try over(entry(.symlink, "own", link: "d"), file("own/.wh..wh..opq"), file("d/z")) == ["d/", "d/z:1", "l>d", "own>d"])
    #expect(try over(file("l/.wh.x")) == ["d/", "d/y:0", "l>d"])
    // A directory of its own is where the link was: nothing of what the link led to is meant.
    #expect(try over(file(".wh.l"), entry(.directory, "l"), file("l/.wh.x")) == ["d/", "d/x:0", "d/y:0", "l/"])
    #expect(try over(entry(.directory, "l"), file("l/.wh.x")) == ["d/", "d/x:0", "d/y:0", "l/"])
    // What it has itself stays, whether the mark comes before or after, by whichever way.
    #expect(try over(file("l/new"), file(".wh.d")) == ["d/", "d/new:1", "l>d"])
    #expect(try over(file("d/x"), file("l/.wh..wh..opq")) == ["d/", "d/x:1", "l>d"])
    #expect(try over(entry(.hardlink, "again", link: "d/x"), file("d/.wh.x")) == ["again:0", "d/", "d/y:0", "l>d"])
    #expect(try tree(lower, [file("d/new")], [file(".wh.d")]) == ["l>d"], "of layers below nothing stays")
  }

  @Test func aLinkThatLeadsNowhereGivesWay() throws {
    #expect(try tree([entry(.symlink, "l", link: "gone")], [file("l/a")]) == ["l/", "l/a:1"])
    #expect(try tree([entry(.symlink, "l", link: "gone/deep")], [file("l/a/b")]) == ["l/", "l/a/", "l/a/b:1"])
    #expect(throws: ContainerdError.self) { _ = try tree([entry(.symlink, "l", link: "f"), file("f")], [file("l/a")]) }
  }

  /// As a disk would have it, which takes none of these: whoever copies the file up lists what is here, and must be able to read and set it.
  @Test func linksHaveNoModeAndNoAttributesOfUsers() throws {
    var link = entry(.symlink, "l", link: "f")
    var (pipe, file) = (entry(.fifo, "p"), entry(.file, "f"))
    for name in ["security.capability", "trusted.x", "user.y"] {
      let attribute = LayerIndex.Attribute(name: name, value: [1])
      link.attributes.append(attribute)
      pipe.attributes.append(attribute)
      file.attributes.append(attribute)
    }
    let flat = try flat(try MergedTree([layer([link, pipe, file])]))
    let nodes = (1..<flat.count).map { flat.tree.pointee.nodes[$0] }
    #expect(nodes.map { "\(String($0.mode, radix: 8)) \($0.attribute_count)" }.sorted() == ["100644 3", "10644 2", "120777 2"])
  }

  @Test func whatLeadsOutOrMeansSomethingElseIsRefused() throws {
    func refused(_ entries: [LayerIndex.Entry]) { #expect(throws: ContainerdError.self) { _ = try tree(entries) } }
    refused([file("../a")])
    refused([file("d/../../a")])
    refused([entry(.hardlink, "a", link: "../etc/shadow")])
    refused([entry(.character, "a")])
    refused([file("a/b"), file("a"), file("a/c")])
    refused([file(String(repeating: "n", count: 256))])
    refused([file(".")])
    refused([file("d/.wh.")])
  }

  @Test func namesAreFoundByTheirBytes() throws {
    let names = ["a", "ab", "b", "B", "aa", "é", "_", String(repeating: "n", count: 255)]
    let flat = try flat(try MergedTree([layer(names.map { file($0) })]))
    for name in names { #expect(Lookup.find(flat, name) >= 0, "\(name)") }
    for name in ["", "abc", "c", "A", String(repeating: "n", count: 254)] { #expect(Lookup.find(flat, name) == -1, "\(name)") }
  }
}
