/// A tar archive in the making: the ustar form of POSIX, as far as cases need it.
package struct TarArchive {
  private var blocks: [UInt8] = []

  /// The archive, with the two empty blocks that end it.
  package var bytes: [UInt8] { blocks + [UInt8](repeating: 0, count: 1024) }

  package mutating func file(_ name: String, _ contents: String = "", mode: Int = 0o644, owner: Int = 0, group: Int = 0) {
    let data = Array(contents.utf8)
    header(name, type: "0", size: data.count, mode: mode, owner: owner, group: group)
    blocks += data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
  }
  package mutating func directory(_ name: String, mode: Int = 0o755, owner: Int = 0, group: Int = 0) {
    header(name + "/", type: "5", mode: mode, owner: owner, group: group)
  }
  package mutating func symlink(_ name: String, to target: String) { header(name, type: "2", link: target, mode: 0o777) }
  package mutating func hardLink(_ name: String, to existing: String, mode: Int = 0o644, owner: Int = 0, group: Int = 0) {
    header(name, type: "1", link: existing, mode: mode, owner: owner, group: group)
  }
  /// Deletes a name of the layers below.
  package mutating func whiteout(_ path: String) {
    let parts = path.split(separator: "/")
    file((parts.dropLast() + [".wh." + (parts.last ?? "")]).joined(separator: "/"))
  }
  /// Hides what the layers below have in a directory.
  package mutating func opaque(_ directory: String) { file("\(directory)/.wh..wh..opq") }

  private mutating func header(_ name: String, type: Character, link: String = "", size: Int = 0, mode: Int = 0o644, owner: Int = 0, group: Int = 0) {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int) { for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte } }
    func octal(_ value: Int, _ width: Int) -> String {
      let digits = String(value, radix: 8)
      return String(repeating: "0", count: width - digits.count) + digits
    }
    precondition(name.utf8.count <= 100 && link.utf8.count <= 100, "a ustar name of more than 100 bytes")
    put(name, at: 0)
    put(octal(mode, 7), at: 100)
    put(octal(owner, 7), at: 108)
    put(octal(group, 7), at: 116)
    put(octal(size, 11), at: 124)
    put(octal(1_000_000_000, 11), at: 136)
    put("        ", at: 148)
    put(String(type), at: 156)
    put(link, at: 157)
    put("ustar", at: 257)
    put("00", at: 263)
    let sum = block.reduce(0) { $0 + Int($1) }
    put(octal(sum, 6), at: 148)
    block[154] = 0
    blocks += block
  }

  package static func make(_ body: (inout TarArchive) -> Void) -> [UInt8] {
    var archive = TarArchive()
    body(&archive)
    return archive.bytes
  }
}
