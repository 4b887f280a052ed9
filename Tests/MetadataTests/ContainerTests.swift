import Metadata
import Protocols
import Testing

struct ContainerTests {
  static let spec = TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Array("{}".utf8))
  static func container(_ id: String, labels: Labels = [:]) -> ContainerRecord {
    ContainerRecord(
      id: id, labels: labels, image: "img", runtime: "io.containerd.ref.v2", runtimeOptions: TypedValue(typeURL: "o", value: [0, 255]), spec: spec,
      snapshotter: "overlayfs", snapshotKey: id, extensions: ["x": TypedValue(typeURL: "t", value: [1, 2])])
  }

  @Test func lifeOfAContainer() async throws {
    let fixture = try Fixture()
    let containers = try fixture.store.containers(in: fixture.scope())
    let made = try await containers.create(Self.container("b"))
    _ = try await containers.create(Self.container("a", labels: ["k": "v"]))
    #expect(try await containers.get("b") == made)
    #expect(try await containers.list(.all).map(\.id) == ["a", "b"])
    #expect(try await containers.list(FilterSet(parsing: ["labels.k==v"])).map(\.id) == ["a"])
    #expect(try await containers.list(FilterSet(parsing: ["runtime.name==io.containerd.ref.v2,image==img,id==b"])).map(\.id) == ["b"])
    await expectError(.alreadyExists, "container \"a\"") { _ = try await containers.create(Self.container("a")) }
    await expectError(.notFound, "container \"x\" in namespace \"default\"") { _ = try await containers.get("x") }
    await expectError(.notFound) { try await containers.delete("x") }
    await expectError(.notFound) { _ = try await fixture.store.containers(in: fixture.scope(in: "other")).get("a") }
    try await containers.delete("a")
    #expect(fixture.events.topics == ["/containers/create", "/containers/create", "/containers/delete"])
  }

  @Test func nonsenseIsRefused() async throws {
    let fixture = try Fixture()
    let containers = try fixture.store.containers(in: fixture.scope())
    var bad: [ContainerRecord] = ["", "a/b", "-a", String(repeating: "a", count: 77)].map { Self.container($0) }
    var container = Self.container("c")
    container.runtime = ""
    bad.append(container)
    container = Self.container("c")
    container.spec = nil
    bad.append(container)
    container = Self.container("c")
    container.snapshotter = ""
    bad.append(container)
    for container in bad { await expectError(.invalidArgument) { _ = try await containers.create(container) } }
    #expect(try await containers.list(.all).isEmpty)
  }

  @Test func onlyMutableFieldsChange() async throws {
    let fixture = try Fixture()
    let containers = try fixture.store.containers(in: fixture.scope())
    let made = try await containers.create(Self.container("c", labels: ["a": "1"]))
    var wanted = made
    wanted.labels = ["b": "2"]
    wanted.image = "other"
    wanted.extensions = ["y": TypedValue(typeURL: "t", value: [3])]
    wanted.spec = TypedValue(typeURL: "s", value: [9])
    wanted.snapshotKey = "k2"
    var stored = try await containers.update(wanted, fields: ["labels.b", "image", "extensions.y"])
    #expect(stored.labels == ["a": "1", "b": "2"] && stored.image == "other" && stored.spec == Self.spec && stored.snapshotKey == "c")
    #expect(Set(stored.extensions.keys) == ["x", "y"])
    stored = try await containers.update(wanted, fields: .all)
    #expect(stored.labels == ["b": "2"] && stored.spec == wanted.spec && stored.snapshotKey == "k2" && Set(stored.extensions.keys) == ["y"])
    for field in ["snapshotter", "runtime.name", "id"] {
      await expectError(.invalidArgument) { _ = try await containers.update(wanted, fields: FieldMask([field])) }
    }
    var moved = stored
    moved.runtime = "other"
    await expectError(.invalidArgument) { _ = try await containers.update(moved, fields: .all) }
    moved = stored
    moved.snapshotter = "native"
    await expectError(.invalidArgument) { _ = try await containers.update(moved, fields: .all) }
    #expect(try await containers.get("c") == stored)
  }
}
