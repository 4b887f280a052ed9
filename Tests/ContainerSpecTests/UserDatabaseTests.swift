import ContainerSpec
import Protocols
import Testing

@Suite struct UserDatabaseTests {
  private let database = UserDatabase(
    passwd: """
      # a comment
      root:x:0:0:root:/root:/bin/sh
      broken line
      daemon:x:1:1::/:/bin/false
      app:x:1000:100:App:/home/app:/bin/sh
      big:x:4294967295:1::/:
      negative:x:-1:1::/:
      short:x:5
      """,
    group: "root:x:0:\nusers:x:100:\nwheel:x:10:root,app\ndisk:x:6:app\nbad:x:y:app\n")

  @Test(arguments: [
    ("", SpecUser(uid: 0, gid: 0, additionalGids: [0, 10])),
    ("root", SpecUser(uid: 0, gid: 0, additionalGids: [0, 10])),
    ("0", SpecUser(uid: 0, gid: 0, additionalGids: [0, 10])),
    ("app", SpecUser(uid: 1000, gid: 100, additionalGids: [100, 10, 6])),
    ("1000", SpecUser(uid: 1000, gid: 100, additionalGids: [100, 10, 6])),
    ("app:disk", SpecUser(uid: 1000, gid: 6, additionalGids: [6, 10])),
    ("app:77", SpecUser(uid: 1000, gid: 77, additionalGids: [77, 10, 6])),
    ("4242", SpecUser(uid: 4242, gid: 0, additionalGids: [0])),
    ("4242:users", SpecUser(uid: 4242, gid: 100, additionalGids: [100])),
  ]) func namesAndNumbersBecomeIds(_ text: String, _ user: SpecUser) throws {
    #expect(try database.user(text) == user)
  }

  @Test(arguments: [
    "nobody", "big", "negative", "short", "app:nogroup", "4294967295", "2147483648", "99999999999999999999", "0:4294967295", ":0", "app:", "-1",
  ])
  func whatCannotBeAnIdIsRefused(_ text: String) {
    #expect(throws: ContainerdError.self) { try database.user(text) }
  }

  @Test func anImageWithoutFilesKnowsNumbersAndRoot() throws {
    let none = UserDatabase(passwd: nil, group: nil)
    #expect(try none.user("") == SpecUser())
    #expect(try none.user("12:34") == SpecUser(uid: 12, gid: 34, additionalGids: [34]))
    #expect(throws: ContainerdError.invalidArgument("user \"app\": the image's /etc/passwd has no user \"app\"")) { try none.user("app") }
  }
}
