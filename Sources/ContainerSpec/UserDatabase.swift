import Protocols

/// The text of an image's `/etc/passwd` and `/etc/group`, nil where the image has none, and the rules that turn names into ids.
///
/// Lines that are not well-formed are passed over, as the C library does.
public struct UserDatabase: Sendable {
  private struct Account {
    var name: Substring
    var uid: UInt32
    var gid: UInt32
  }
  private struct Group {
    var name: Substring
    var gid: UInt32
    var members: [Substring]
  }

  /// The kernel reads 2³²-1 as "no change", and above 2³¹ ids wrap in too many programs.
  private static let maximum = UInt32(Int32.max)

  private let accounts: [Account]
  private let groups: [Group]

  public init(passwd: String?, group: String?) {
    accounts = Self.fields(passwd).compactMap { line in
      guard line.count >= 4, !line[0].isEmpty, let uid = Self.id(line[2]), let gid = Self.id(line[3]) else { return nil }
      return Account(name: line[0], uid: uid, gid: gid)
    }
    groups = Self.fields(group).compactMap { line in
      guard line.count >= 3, !line[0].isEmpty, let gid = Self.id(line[2]) else { return nil }
      return Group(name: line[0], gid: gid, members: line.count > 3 ? line[3].split(separator: ",") : [])
    }
  }

  private static func fields(_ text: String?) -> [[Substring]] {
    (text ?? "").split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#") }.map { $0.split(separator: ":", omittingEmptySubsequences: false) }
  }

  private static func id(_ text: some StringProtocol) -> UInt32? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = UInt32(text), value <= maximum else { return nil }
    return value
  }

  /// The ids for `USER` or `USER:GROUP`, each a name or a number; empty is root.
  ///
  /// Without a group, a user's own group; for a number that no account has, group 0. The account's further groups are added, its main group first.
  /// `invalidArgument` for a name that the image does not know.
  public func user(_ text: String) throws(ContainerdError) -> SpecUser {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts.first ?? ""
    if parts.count == 2, name.isEmpty || parts[1].isEmpty { throw .invalidArgument("user \"\(text)\": USER or USER:GROUP is needed") }
    var user: SpecUser
    var account: Account?
    if name.isEmpty {
      account = accounts.first { $0.name == "root" }
      user = SpecUser()
    } else if let uid = Self.number(name) {
      guard let uid = Self.id(String(uid)) else { throw .invalidArgument("user \"\(text)\": \(name) is not an id from 0 to \(Self.maximum)") }
      account = accounts.first { $0.uid == uid }
      user = SpecUser(uid: uid, gid: account?.gid ?? 0)
    } else {
      account = accounts.first { $0.name == name }
      guard let account else { throw .invalidArgument("user \"\(text)\": the image's /etc/passwd has no user \"\(name)\"") }
      user = SpecUser(uid: account.uid, gid: account.gid)
    }
    if parts.count == 2 { user.gid = try group(parts[1], of: text) }
    user.additionalGids = [user.gid]
    if let account {
      for group in groups where group.members.contains(account.name) && !user.additionalGids.contains(group.gid) { user.additionalGids.append(group.gid) }
    }
    return user
  }

  private func group(_ name: Substring, of text: String) throws(ContainerdError) -> UInt32 {
    if let number = Self.number(name) {
      guard let gid = Self.id(String(number)) else { throw .invalidArgument("user \"\(text)\": \(name) is not an id from 0 to \(Self.maximum)") }
      return gid
    }
    guard let group = groups.first(where: { $0.name == name }) else {
      throw .invalidArgument("user \"\(text)\": the image's /etc/group has no group \"\(name)\"")
    }
    return group.gid
  }

  /// A name made of digits only is a number, however large.
  private static func number(_ text: Substring) -> Substring? { text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? text : nil }
}
