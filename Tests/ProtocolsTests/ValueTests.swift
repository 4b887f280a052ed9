import Hashing
import Protocols
import Testing

@Suite struct DigestTests {
  @Test func theDigestOfNothingIsTheKnownOne() {
    #expect(Digest.of([]).description == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test(arguments: [
    "", "sha256", "sha256:", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + String(repeating: "G", count: 64),
    "sha256:" + String(repeating: "A", count: 64), "sha256:../" + String(repeating: "a", count: 61), "sha256:" + String(repeating: "a", count: 65),
  ])
  func whatIsNoDigestIsRefused(_ text: String) {
    #expect(throws: ContainerdError.self) { try Digest(parsing: text) }
  }

  @Test func hashingInPiecesIsHashingTheWhole() {
    var hasher = Hasher()
    hasher.update(Array("hello ".utf8))
    let early = hasher.digest()
    hasher.update(Array("world".utf8))
    #expect(early == Digest.of(Array("hello ".utf8)))
    #expect(hasher.digest() == Digest.of(Array("hello world".utf8)))
  }
}

@Suite struct TimestampTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", Int64(0), Int32(0)), ("0001-01-01T00:00:00Z", -62_135_596_800, 0), ("2026-11-23T14:42:52.5Z", 1_795_444_972, 500_000_000),
    ("2024-02-29T23:59:59.000000001Z", 1_709_251_199, 1), ("1969-12-31T23:59:59Z", -1, 0),
  ]) func roundTrip(_ text: String, _ seconds: Int64, _ nanoseconds: Int32) {
    let time = Timestamp(rfc3339: text)
    #expect(time == Timestamp(seconds: seconds, nanoseconds: nanoseconds))
    #expect(time?.description == text)
  }

  @Test func offsetsAreTakenIntoAccount() { #expect(Timestamp(rfc3339: "1970-01-01T02:00:00+02:00") == Timestamp(seconds: 0)) }

  @Test(arguments: ["", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx"])
  func whatIsNoTimeIsRefused(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}

@Suite struct FilterTests {
  let image = ImageRecord(
    name: "docker.io/library/busybox:1.36", labels: ["a.b": "x y", "plain": "1"],
    target: Descriptor(mediaType: "application/vnd.oci.image.index.v1+json", digest: Digest.of([1]), size: 10))

  @Test(arguments: [
    ("", true), ("name==docker.io/library/busybox:1.36", true), ("name!=other", true), ("name~=busybox", true), ("name~=/^docker\\.io\\//", true),
    ("labels.plain", true), ("labels.none", false), ("labels.\"a.b\"==\"x y\"", true), ("labels.plain==1,name~=nope", false),
    ("target.mediatype~=index", true), ("nonsense==1", false),
  ]) func oneFilter(_ text: String, _ expected: Bool) throws { #expect(try FilterSet(parsing: [text]).matches(image) == expected) }

  @Test func severalFiltersAreAlternatives() throws {
    #expect(try FilterSet(parsing: ["name==a", "labels.plain==1"]).matches(image))
    #expect(try !FilterSet(parsing: ["name==a", "name==b"]).matches(image))
    #expect(FilterSet.all.matches(image))
  }

  @Test(arguments: ["name=", "==x", "name==", "name=~x", "labels.\"open", "name~=[", "name==a,,", "a b"])
  func brokenFiltersNameThemselves(_ text: String) {
    #expect { try FilterSet(parsing: [text]) } throws: { ($0 as? ContainerdError)?.code == .invalidArgument && "\($0)".contains("filter") }
  }
}

@Suite struct LabelTests {
  @Test func masksReplaceSetAndRemove() {
    let old: Labels = ["a": "1", "b": "2"]
    #expect(FieldMask.all.updatedLabels(of: old, from: ["c": "3"]) == ["c": "3"])
    #expect((["labels"] as FieldMask).updatedLabels(of: old, from: ["c": "3"]) == ["c": "3"])
    #expect((["labels.b", "labels.c"] as FieldMask).updatedLabels(of: old, from: ["b": "", "c": "3"]) == ["a": "1", "c": "3"])
    #expect(throws: ContainerdError.self) { try (["size"] as FieldMask).validate(object: "x") }
  }

  @Test func theLimitIs4096Bytes() {
    #expect(throws: Never.self) { try ["k": String(repeating: "v", count: 4095)].validateLabels() }
    #expect(throws: ContainerdError.self) { try ["k": String(repeating: "v", count: 4096)].validateLabels() }
  }

  @Test(arguments: [
    ("a", true), ("a-b_c.d", true), ("", false), ("-a", false), ("a-", false), ("a--b", false), ("a/b", false), ("..", false),
    (String(repeating: "a", count: 77), false),
  ])
  func identifiers(_ text: String, _ valid: Bool) {
    let accepted = (try? Identifiers.validate(text, kind: "id")) != nil
    #expect(accepted == valid)
  }
}
