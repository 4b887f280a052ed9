import Metadata
import Protocols
import Testing

struct ImageTests {
  @Test func lifeOfAnImage() async throws {
    let fixture = try Fixture()
    let images = try fixture.store.images(in: fixture.scope())
    let digest = testDigest([1])
    let made = try await fixture.image("b", digest, labels: ["k": "v"])
    #expect(made.createdAt == fixture.clock.now() && made.updatedAt == made.createdAt)
    try await fixture.image("a", testDigest([2]))
    #expect(try await images.get("b") == made)
    #expect(try await images.list(.all).map(\.name) == ["a", "b"])
    await expectError(.alreadyExists, "image \"a\"") { try await fixture.image("a", digest) }
    await expectError(.notFound, "image \"x\"") { _ = try await images.get("x") }
    await expectError(.notFound, "image \"x\"") { try await images.delete("x") }
    await expectError(.notFound, "image \"b\"") { _ = try await fixture.store.images(in: fixture.scope(in: "other")).get("b") }
    try await images.delete("b")
    #expect(fixture.events.topics == ["/images/create", "/images/create", "/images/delete"])
  }

  @Test func filters() async throws {
    let fixture = try Fixture()
    let images = try fixture.store.images(in: fixture.scope())
    let digest = testDigest([1])
    try await fixture.image("a", digest, labels: ["k": "v"])
    try await fixture.image("b", testDigest([2]))
    for (filter, names) in [
      ("name==b", ["b"]), ("name~=^[ab]$", ["a", "b"]), ("labels.k", ["a"]), ("labels.k==v,name==b", []), ("target.digest==\(digest)", ["a"]),
    ] { #expect(try await images.list(FilterSet(parsing: [filter])).map(\.name) == names) }
    #expect(try await images.list(FilterSet(parsing: ["name==a", "name==b"])).count == 2)
  }

  @Test func masks() async throws {
    let fixture = try Fixture()
    let images = try fixture.store.images(in: fixture.scope())
    var image = try await fixture.image("i", testDigest([1]), labels: ["a": "1", "b": "2"])
    fixture.clock.advance(5)
    image.labels = ["a": "9", "c": "3"]
    image.target.digest = testDigest([2])
    image.target.annotations = ["x": "y"]
    var stored = try await images.update(image, fields: ["labels.a", "labels.b"])
    #expect(stored.labels == ["a": "9"] && stored.target.digest == testDigest([1]))
    #expect(stored.updatedAt == fixture.clock.now() && stored.createdAt < stored.updatedAt)
    stored = try await images.update(image, fields: ["annotations.x"])
    #expect(stored.target.annotations == ["x": "y"] && stored.target.digest == testDigest([1]))
    stored = try await images.update(image, fields: ["target"])
    #expect(stored.target.digest == testDigest([2]) && stored.labels == ["a": "9"])
    stored = try await images.update(image, fields: .all)
    #expect(stored.labels == ["a": "9", "c": "3"])
    await expectError(.invalidArgument) { _ = try await images.update(image, fields: ["labels.a", "name"]) }
    #expect(try await images.get("i") == stored)
    #expect(fixture.events.topics.filter { $0 == "/images/update" }.count == 4)
  }

  @Test func nonsenseIsRefused() async throws {
    let fixture = try Fixture()
    let images = try fixture.store.images(in: fixture.scope())
    let target = Descriptor(mediaType: "m", digest: testDigest([1]), size: 1)
    let bad = [
      ImageRecord(name: "", target: target), ImageRecord(name: "i", labels: ["k": String(repeating: "x", count: 5000)], target: target),
      ImageRecord(name: "i", target: Descriptor(mediaType: "", digest: target.digest, size: 1)),
      ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: target.digest, size: 0)),
    ]
    for image in bad { await expectError(.invalidArgument) { _ = try await images.create(image) } }
    #expect(try await images.list(.all).isEmpty && fixture.events.events.isEmpty)
  }
}
