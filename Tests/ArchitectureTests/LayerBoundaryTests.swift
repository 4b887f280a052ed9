import Foundation
import Testing

/// The laws of docs/architecture.md, checked on the package's own graph (`swift package describe --type json`) and on every import.
@Suite struct LayerBoundaryTests {
  static let graph = Result { try PackageGraph.read() }

  @Test func theGraphIsReadable() throws {
    let graph = try Self.graph.get()
    #expect(graph.targets.count > 30)
    #expect(graph.reach("containerd-ref").isSuperset(of: ["RegistryFetcher", "OverlaySnapshotter", "Protocols", "CLinux"]))
    #expect(graph.targets["GRPCFrontend"]?.products.contains("GRPCCore") == true)
    #expect(graph.targets["ImagePull"]?.imports["Protocols"]?.isEmpty == false)
  }

  @Test(arguments: Law.all) func theLawHolds(_ law: Law) throws {
    let violations = law.violations(try Self.graph.get())
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  /// A check that nothing can fail proves nothing: each law is shown a graph that breaks it.
  @Test(arguments: Law.all) func theLawCanFail(_ law: Law) throws {
    var graph = try Self.graph.get()
    law.breaking(&graph)
    #expect(!law.violations(graph).isEmpty, "a graph that breaks the law passes")
  }

  @Test func reachGoesThroughOthersAndEndsInCircles() {
    func target(_ name: String, _ targets: Set<String>, _ products: Set<String> = []) -> (String, PackageGraph.Target) {
      (name, PackageGraph.Target(name: name, path: "Sources/\(name)", targets: targets, products: products))
    }
    let graph = PackageGraph(
      targets: Dictionary(uniqueKeysWithValues: [target("a", ["b"]), target("b", ["c"], ["P"]), target("c", ["a"], ["Q"]), target("d", ["c"])]))
    #expect(graph.reach("a") == ["a", "b", "c"] && graph.reach("d") == ["a", "b", "c"] && graph.reach("none").isEmpty)
    #expect(graph.products("d") == ["P", "Q"])
  }

  @Test func theDescriptionIsRead() throws {
    let json = """
      {"name": "p", "targets": [
        {"name": "A", "path": "Sources/A", "type": "library", "target_dependencies": ["B"], "product_dependencies": ["X"]},
        {"name": "B", "path": "Sources/B", "type": "library"}, {"name": "T", "path": "Tests/T", "type": "test", "target_dependencies": ["A"]}]}
      """
    let graph = try PackageGraph(describing: Data(json.utf8))
    #expect(graph.targets["A"]?.targets == ["B"] && graph.targets["A"]?.products == ["X"] && graph.targets["A"]?.isTest == false)
    #expect(graph.targets["B"]?.targets == [] && graph.targets["T"]?.isTest == true)
    #expect(throws: (any Error).self) { try PackageGraph(describing: Data("{}".utf8)) }
  }

  @Test func importsAreFoundInEveryForm() {
    let source = """
      import A
      @testable import B
        @preconcurrency public import struct C.Name
      package import D.Sub
      import func E.call
      // import F
      let text = "import G"
      importH()
      """
    #expect(PackageGraph.imports(in: source) == ["A", "B", "C", "D", "E"])
  }
}
