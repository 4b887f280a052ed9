import Protocols

/// Reads a FlatBuffer that nobody vouches for: every offset is checked before it is followed (FlatBuffers, "Internals": little-endian; a table begins with
/// the signed distance back to its vtable, which holds its own length, the table's, and a place for each field, 0 for one that is left out).
struct FlatBuffer {
  let bytes: [UInt8]
  let what: String
  /// Bytes of strings that may still be made. Strings may be shared: a few bytes could claim to be many.
  private var room: Int

  init(_ bytes: [UInt8], _ what: String) {
    self.bytes = bytes
    self.what = what
    room = 4 * bytes.count + (64 << 10)
  }

  struct Table {
    fileprivate var place: Int
    fileprivate var size: Int
    fileprivate var fields: Int
    fileprivate var count: Int
  }
  /// Places of elements, one behind the other.
  struct Vector {
    fileprivate var place: Int
    var count: Int
  }

  func root() throws(ContainerdError) -> Table { try table(at: try follow(0)) }

  func int64(_ table: Table, _ field: Int) throws(ContainerdError) -> Int64 {
    guard let place = try place(table, field, width: 8) else { return 0 }
    return Int64(bitPattern: number(place, 8))
  }
  func uint32(_ table: Table, _ field: Int) throws(ContainerdError) -> UInt32 {
    guard let place = try place(table, field, width: 4) else { return 0 }
    return UInt32(truncatingIfNeeded: number(place, 4))
  }
  func int32(_ table: Table, _ field: Int) throws(ContainerdError) -> Int32 { Int32(bitPattern: try uint32(table, field)) }
  func int8(_ table: Table, _ field: Int, usually: Int8) throws(ContainerdError) -> Int8 {
    guard let place = try place(table, field, width: 1) else { return usually }
    return Int8(bitPattern: bytes[place])
  }

  func table(_ table: Table, _ field: Int) throws(ContainerdError) -> Table? {
    guard let place = try place(table, field, width: 4) else { return nil }
    return try self.table(at: try follow(place))
  }
  /// - Parameter width: bytes of an element.
  func vector(_ table: Table, _ field: Int, width: Int) throws(ContainerdError) -> Vector? {
    guard let place = try place(table, field, width: 4) else { return nil }
    let start = try follow(place)
    let count = Int(number(try checked(start, 4), 4))
    _ = try checked(start + 4, count * width)
    return Vector(place: start + 4, count: count)
  }
  func table(_ vector: Vector, _ number: Int) throws(ContainerdError) -> Table { try table(at: try follow(vector.place + 4 * number)) }
  func bytes(_ vector: Vector) -> ArraySlice<UInt8> { bytes[vector.place..<vector.place + vector.count] }

  mutating func string(_ table: Table, _ field: Int) throws(ContainerdError) -> [UInt8] {
    guard let vector = try vector(table, field, width: 1) else { return [] }
    return try take(vector)
  }
  mutating func string(_ vector: Vector, _ number: Int) throws(ContainerdError) -> [UInt8] {
    let start = try follow(vector.place + 4 * number)
    let count = Int(self.number(try checked(start, 4), 4))
    return try take(Vector(place: try checked(start + 4, count), count: count))
  }
  private mutating func take(_ vector: Vector) throws(ContainerdError) -> [UInt8] {
    room -= vector.count
    if room < 0 { throw wrong("its strings are more than it has bytes for") }
    return Array(bytes(vector))
  }

  // MARK: offsets

  func wrong(_ why: String) -> ContainerdError { .invalidArgument("\(what): \(why)") }

  private func checked(_ place: Int, _ count: Int) throws(ContainerdError) -> Int {
    if place < 0 || count < 0 || count > bytes.count || place > bytes.count - count { throw wrong("\(count) bytes at \(place) of \(bytes.count)") }
    return place
  }
  private func number(_ place: Int, _ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * $1) } }
  private func follow(_ place: Int) throws(ContainerdError) -> Int { try checked(place + Int(number(try checked(place, 4), 4)), 4) }

  private func table(at place: Int) throws(ContainerdError) -> Table {
    let back = Int(Int32(truncatingIfNeeded: number(try checked(place, 4), 4)))
    let fields = try checked(place - back, 4)
    let (length, size) = (Int(number(fields, 2)), Int(number(fields + 2, 2)))
    if length < 4 || length % 2 != 0 || size < 4 { throw wrong("the table at \(place) has a vtable of \(length) bytes") }
    _ = try checked(fields, length)
    return Table(place: try checked(place, size), size: size, fields: fields, count: length / 2 - 2)
  }
  private func place(_ table: Table, _ field: Int, width: Int) throws(ContainerdError) -> Int? {
    if field >= table.count { return nil }
    let offset = Int(number(table.fields + 4 + 2 * field, 2))
    if offset == 0 { return nil }
    if offset < 4 || offset + width > table.size { throw wrong("field \(field) of the table at \(table.place) lies outside of it") }
    return table.place + offset
  }
}
