import Protocols
import SystemKit

/// A database that is gone while what it names is there.
///
/// A new, empty one would make all of that garbage, and the first collection would remove it. Somebody moved or lost a file: the
/// daemon says so and touches nothing.
enum LostDatabase {
  static func refuse(_ database: String, named directories: [String]) throws {
    if Files.exists(database) { return }
    for directory in directories where Files.exists(directory) {
      // `new-…` and the like are leftovers of work that was never named.
      guard let object = try Files.names(in: directory).first(where: { !$0.contains("-") && !$0.hasPrefix(".") }) else { continue }
      throw ContainerdError.failedPrecondition(
        "database \(database) is missing, but \(directory)/\(object) is there: put the database back, or remove \(directory) to begin anew")
    }
  }
}
