import ConformanceSuites
import Protocols
import Testing

/// How values are told to who reads a failure.
@Suite struct WordsTests {
  private struct Entry {
    var path: String
    var mode: UInt32
    var target: String?
    var labels: [String: String]
  }

  @Test func textAndNumbersAreThemselves() {
    #expect(words("a b") == "a b")
    #expect(words("") == "\"\"")
    #expect(words(7) == "7")
    #expect(words(true) == "true")
  }

  @Test func whatIsMissingIsNone() {
    #expect(words(String?.none) == "none")
    #expect(words(String?.some("a")) == "a")
  }

  @Test func collectionsQuoteTheirTexts() {
    #expect(words(["a", ""]) == "[\"a\", \"\"]")
    #expect(words(Set(["b", "a"])) == "{\"a\", \"b\"}")
    #expect(words(["b": 2, "a": 1]) == "{a: 1, b: 2}")
  }

  @Test func fieldsAreNamedAndModesAreOctal() {
    let entry = Entry(path: "/a", mode: 0o700, target: nil, labels: ["l": "1"])
    #expect(words(entry) == "path \"/a\", mode 0700, target none, labels {l: 1}")
    #expect(words([entry]) == "[(path \"/a\", mode 0700, target none, labels {l: 1})]")
    #expect(words(SnapshotInfo(kind: .active, name: "a")).hasPrefix("kind active, name \"a\", parent none, labels {}, createdAt "))
  }
}
