extension Statement {
  /// What a client that pulls owes to the web, and to who uses it.
  static let pull: [Statement] = [
    Statement("HTTP-01", .http, "RFC 9110, 15.4 Redirection", .must, "a client that follows redirects notices when they go in a circle"),
    Statement("HTTP-02", .http, "RFC 9110, 10.2.2 Location", .must, "the address of a redirect may be relative to the one that was asked"),
    Statement("HTTP-03", .http, "RFC 9110, 10.2.3 Retry-After", .should, "Retry-After says how long to wait before the next attempt"),
    Statement(
      "HTTP-04", .http, "RFC 9112, 6.3 Message Body Length", .must, "a body ends at its length, at its last chunk or, without either, with the connection"),
    Statement("HTTP-05", .bearer, "5.3 Summary of Recommendations", .must, "a client lets no token get into anybody else's hands"),
    Statement("HTTP-06", .bearer, "5.3 Summary of Recommendations", .should, "secrets in addresses get into logs, where others read them"),
    Statement("PUL-01", .fetcher, "Authentication", .should, "a token serves every transfer of a pull, and another is asked for when the registry refuses it"),
    Statement("PUL-02", .fetcher, "Redirects", .must, "credentials stay with the origin that they were made for"),
    Statement("PUL-03", .fetcher, "Retries", .must, "what may pass (429, 5xx, a connection that fails) is tried again a few times, and then given up"),
    Statement("PUL-04", .fetcher, "Time", .must, "silence ends a transfer, slowness does not"),
    Statement("PUL-05", .fetcher, "ImagePull", .must, "several blobs are fetched at once, but no more than the client says"),
    Statement("PUL-06", .fetcher, "ImagePull", .should, "a blob is fetched once, however often the image names it or somebody pulls it"),
    Statement("PUL-07", .fetcher, "Limits", .must, "manifests have a largest size, and indexes a greatest depth"),
    Statement("PUL-08", .fetcher, "Limits", .may, "a manifest of a type that is not understood is refused by the name of its type"),
    Statement("PUL-09", .fetcher, "Redirects", .must, "redirects are followed, to other hosts too, but not for ever"),
    Statement("PUL-10", .fetcher, "Authentication", .must, "a challenge is answered with a token that is asked for with its service, for pulling"),
  ]
}
