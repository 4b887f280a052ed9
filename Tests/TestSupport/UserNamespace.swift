import SystemKit

/// Which ids exist in the user namespace of this process. To change owners to any other is an invalid argument to the kernel, whatever the file system.
enum UserNamespace {
  /// - Parameter table: `/proc/self/uid_map` or `/proc/self/gid_map`: lines of first id inside, first id outside, count (user_namespaces(7)).
  static func maps(_ id: UInt32, in table: String) throws -> Bool {
    String(decoding: try Files.read(table), as: UTF8.self).split(separator: "\n").contains { line in
      let numbers = line.split(separator: " ").compactMap { UInt64($0) }
      guard numbers.count == 3 else { return false }
      return numbers[0] <= UInt64(id) && UInt64(id) < numbers[0] + numbers[2]
    }
  }
}
