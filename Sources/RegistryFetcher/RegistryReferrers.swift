import AsyncHTTPClient
import NIOHTTP1
import OCI
import Protocols

/// What refers to manifests of one repository: by the registry's own account, page by page, or where it keeps none, by the tag that stands in for it.
struct RegistryReferrers: ReferrerSource {
  private static let mostPages = 1000

  let session: RegistrySession
  let image: ImageReference

  func referrers(of subject: Digest, artifactType: String?) async throws -> [Descriptor] {
    let object = "\(image.registry)/\(image.repository): referrers of \(subject)"
    let query = artifactType.map { "?artifactType=\(WebAddress.escape($0))" } ?? ""
    // What refers to a manifest has no digest that could be checked: whoever answers is believed, as with a tag.
    let call = RegistrySession.Call(
      image: image, path: "referrers/\(subject)\(query)", accept: [MediaType.ociIndex], capability: .resolve, object: object)
    var page: Page
    let endpoint: Endpoint
    do { (page, endpoint) = try await session.open(call) { try await Self.page($0, object) } } catch let error as ContainerdError where error.code == .notFound
    {
      return Self.filter(try await ReferrerTag(session: session, image: image).entries(subject) ?? [], artifactType, isApplied: false)
    }
    var found = Self.filter(page.manifests, artifactType, isApplied: page.isFiltered)
    var address = endpoint.address(image.repository, call.path)
    var seen: Set = [address]
    while let link = page.next {
      guard let next = address.resolving(link), next.origin == endpoint.root.origin, seen.insert(next).inserted, seen.count <= Self.mostPages else {
        throw ContainerdError.failedPrecondition("\(object): the next page is at \"\(RegistryErrors.printable(link))\", which leads nowhere")
      }
      address = next
      page = try await session.retrying(call) { try await Self.page(try await session.authorized(call, endpoint, at: next).response, object) }
      found += Self.filter(page.manifests, artifactType, isApplied: page.isFiltered)
    }
    return found
  }

  private struct Page: Sendable {
    var manifests: [Descriptor]
    var isFiltered: Bool
    var next: String?
  }

  private static func page(_ response: HTTPClientResponse, _ object: String) async throws -> Page {
    let bytes = try await RegistrySession.collect(response, upTo: ImageDocument.maximumSize, object)
    let applied = response.headers[canonicalForm: "OCI-Filters-Applied"]
    do {
      return Page(manifests: try ImageIndex(parsing: bytes).manifests, isFiltered: applied.contains("artifactType"), next: next(response.headers["Link"]))
    } catch let error as ContainerdError { throw ContainerdError.failedPrecondition("\(object): \(error.message)") }
  }

  private static func filter(_ manifests: [Descriptor], _ type: String?, isApplied: Bool) -> [Descriptor] {
    guard let type, !isApplied else { return manifests }
    return manifests.filter { $0.artifactType == type }
  }

  /// `<ADDRESS>; rel="next"` (RFC 8288).
  static func next(_ links: [String]) -> String? {
    for link in links.flatMap({ $0.split(separator: ",") }) {
      let parts = link.split(separator: ";").map { String($0.drop { $0 == " " }) }
      guard let target = parts.first, target.hasPrefix("<"), let end = target.firstIndex(of: ">") else { continue }
      let isNext = parts.dropFirst().contains { $0.filter { $0 != " " && $0 != "\"" }.lowercased() == "rel=next" }
      if isNext { return String(target[target.index(after: target.startIndex)..<end]) }
    }
    return nil
  }
}
