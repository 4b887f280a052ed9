import CLinux
import Foundation
import Hashing
import LayerArchive
import LocalContentStore
import Protocols
import SystemKit
import TestSupport
import Testing

/// What a differ writes turns the lower tree into the upper one, whole: `apply(diff(a, b))` over a copy of a is b.
///
/// `SEED` sets the first random tree, `TREES` how many there are; a failure names the seed that repeats it.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct DiffTests {
  let scene: LayerScene
  init() throws { scene = try LayerScene() }

  /// Diffs `lower` against the mounts, applies the result over a copy of `lower`, and compares with `wanted`.
  func roundTrip(_ upper: [Mount], wanted: String, _ note: String) async throws {
    let p = scene.scratch.path
    let lower = [Mount(type: "bind", source: p + "/lower", options: ["ro", "rbind"])]
    let layer = try await scene.differ.diff(
      from: lower, to: upper, into: scene.content, options: DiffOptions(mediaType: "application/vnd.oci.image.layer.v1.tar"))
    try #require(scene.shell("rm -rf tree; cp -a lower tree").status == 0)
    _ = try await scene.applier.apply(layer, from: scene.content, to: scene.bind, options: ApplyOptions(sync: false))
    let (status, output) = try scene.compare(scene.tree, wanted)
    #expect(status == 0, "\(note):\n\(output)")
  }

  @Test func randomTreesComeBackWhole() async throws {
    let environment = ProcessInfo.processInfo.environment
    let first = environment["SEED"].flatMap(UInt64.init) ?? 1
    for seed in first..<(first + (environment["TREES"].flatMap(UInt64.init) ?? 12)) {
      var random = SplitMix(seed: seed)
      let p = scene.scratch.path
      try #require(scene.shell("rm -rf lower upper; mkdir lower").status == 0)
      try #require(scene.shell("cd lower; " + Self.changes(&random, count: 25)).status == 0)
      try #require(scene.shell("cp -a lower upper; cd upper; " + Self.changes(&random, count: 15)).status == 0)
      try await roundTrip([Mount(type: "bind", source: p + "/upper", options: ["ro", "rbind"])], wanted: p + "/upper", "seed \(seed), plain")
      // The same, made by a kernel's overlay: whiteouts, opaque directories, copies.
      try #require(scene.shell("rm -rf upper work; mkdir upper work; chmod --reference=lower upper").status == 0)
      let script = Self.changes(&random, count: 15)
      try scene.inOverlay { merged in _ = try run(["sh", "-c", "cd '\(merged)'; " + script]) }
      let mounted = scene.scratch.path + "/merged"
      try Mounts.mount(type: "overlay", source: "overlay", target: mounted, options: scene.overlay[0].options)
      defer { umount2(mounted, Int32(MNT_DETACH)) }
      try await roundTrip(scene.overlay, wanted: mounted, "seed \(seed), overlay")
    }
  }

  /// A script of random changes below the current directory. Some do nothing: the name may be missing or taken.
  static func changes(_ random: inout SplitMix, count: Int) -> String {
    let names = ["a", "b", "c", "a/x", "a/y", "b/x", "a/d", "a/d/deep", "c/ü n", "long", "a/$(printf 'byte\\351')"]
    func name() -> String { "\"" + (names.randomElement(using: &random) ?? "a") + "\"" }
    var lines: [String] = []
    for _ in 0..<count {
      let (one, two) = (name(), name())
      let number = Int.random(in: 1...9999, using: &random)
      switch Int.random(in: 0..<16, using: &random) {
      case 0, 1: lines.append("mkdir -p \(one)")
      case 2, 3: lines.append("[ -p \(one) ] || { mkdir -p $(dirname \(one)); echo \(number) >\(one); }")
      case 4: lines.append("rm -rf \(one)")
      case 5: lines.append("rm -rf \(one); mkdir -p \(one); echo \(number) >\(one)/again")
      case 6: lines.append("ln \(one) \(two)")
      case 7: lines.append("ln -sfn 'target \(number)' \(one)")
      case 8: lines.append("chmod \(["600", "4755", "1777", "000"].randomElement(using: &random) ?? "600") \(one)")
      case 9: lines.append("chown -h \(number):\(number + 1) \(one)")
      case 10: lines.append("touch -h -d @\(number).\(number)5 \(one)")
      case 11: lines.append("setfattr -n user.x -v v\(number) \(one)")
      case 12: lines.append("mv \(one) \(two)")
      case 13: lines.append("mknod \(one) c 1 \(number % 200)")
      case 14: lines.append("mkfifo \(one)")
      default: lines.append("touch -d @1000000000 \(one); [ ! -f \(one) ] || { printf \(number % 10) >\(one); touch -d @1000000000 \(one); }")
      }
    }
    return lines.map { "{ \($0); } 2>/dev/null || true" }.joined(separator: "\n")
  }

  @Test func onlyWhatChangedIsWritten() async throws {
    let p = scene.scratch.path
    try #require(
      scene.shell("cd lower; mkdir d; for f in same mode owner attr time bytes gone; do echo 1 >d/$f; done; touch -d @1000000000 d/* d .").status == 0)
    try #require(
      scene.shell(
        """
        cp -a lower/. upper; cd upper; chmod 600 d/mode; chown 5 d/owner; setfattr -n user.x -v 1 d/attr; touch -d @1000000001 d/time
        printf '2\\n' >d/bytes; touch -d @1000000000 d/bytes; rm d/gone; touch -d @1000000000 d; mkdir new; mkfifo new/p; touch -d @1000000000 .
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("new/socket")'
        """
      ).status == 0)
    let mounts = ["lower", "upper"].map { [Mount(type: "bind", source: "\(p)/\($0)", options: ["ro", "rbind"])] }
    let layer = try await scene.differ.diff(
      from: mounts[0], to: mounts[1], into: scene.content, options: DiffOptions(mediaType: "application/vnd.oci.image.layer.v1.tar"))
    let listing = try run(["tar", "--warning=no-unknown-keyword", "-tf", "\(p)/content/blobs/sha256/\(layer.digest.hex)"]).output.split(separator: "\n")
      .sorted()
    #expect(listing == ["d/.wh.gone", "d/attr", "d/bytes", "d/mode", "d/owner", "d/time", "new/", "new/p"])
  }

  @Test func aGroupOfLinksIsWrittenWholeWhenOneNameIsNew() async throws {
    let p = scene.scratch.path
    try #require(
      scene.shell("echo 1 >lower/a; ln lower/a lower/b; echo 2 >lower/other; ln lower/other lower/other2; cp -a lower/. upper; ln upper/a upper/c").status == 0)
    try await roundTrip([Mount(type: "bind", source: p + "/upper", options: ["ro", "rbind"])], wanted: p + "/upper", "a third name")
    #expect(try scene.status("a").st_nlink == 3 && scene.status("other").st_nlink == 2)
    try #require(scene.shell("rm upper/b; cp -p upper/a upper/b").status == 0)
    try await roundTrip([Mount(type: "bind", source: p + "/upper", options: ["ro", "rbind"])], wanted: p + "/upper", "one name on its own")
    #expect(try scene.status("b").st_nlink == 1)
  }

  @Test func whatALayerCannotHoldIsAnErrorAndLeavesNoIngest() async throws {
    try scene.write("x", "upper/.wh.name")
    let mounts = [Mount(type: "bind", source: scene.scratch.path + "/upper", options: ["ro", "rbind"])]
    await #expect(throws: ContainerdError.self) { try await scene.differ.diff(from: [], to: mounts, into: scene.content, options: DiffOptions(ref: "half")) }
    #expect(try await scene.content.statuses(.all).isEmpty)
  }
}
