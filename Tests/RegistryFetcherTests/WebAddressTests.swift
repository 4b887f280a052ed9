import Protocols
import Testing

@testable import RegistryFetcher

@Suite struct WebAddressTests {
  @Test(arguments: [
    ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/", true), ("HTTPS://Example.COM", "https://example.com/", false),
    ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c", false), ("http://[::1]:80/x", "http://[::1]/x", true),
    ("http://localhost?q", "http://localhost/?q", true), ("http://127.1.2.3/", "http://127.1.2.3/", true), ("http://127.0.0.1./", "http://127.0.0.1./", false),
    ("http://127.0.0.256/", "http://127.0.0.256/", false), ("http://[::1].example.com", nil, false),
  ]) func anAddressIsWhatItSays(_ text: String, _ whole: String?, _ isLoopback: Bool) {
    #expect(WebAddress(text)?.description == whole)
    #expect(WebAddress(text)?.isLoopback ?? false == isLoopback)
  }

  @Test(arguments: [
    "", "example.com", "//example.com", "ftp://a", "http+unix://%2Frun", "http://", "http:///x", "http://a@b/", "http://a b/", "http://a\n/", "http://a:99999/",
    "http://a:b/", "http://[::1/", "http://a\\b/", "http://ä/",
  ]) func whatIsNoAddressIsNone(_ text: String) { #expect(WebAddress(text) == nil) }

  @Test(arguments: [
    ("https://b/x", "https://b/x"), ("//b/x", "https://b/x"), ("/x?y", "https://a:8443/x?y"), ("x", "https://a:8443/v2/x"), ("http://b", "http://b/"),
    ("http+unix://b", nil),
  ]) func aLocationIsSeenFromWhereItStands(_ location: String, _ whole: String?) throws {
    let address = try #require(WebAddress("https://a:8443/v2/app?x=/y"))
    #expect(address.resolving(location)?.description == whole)
  }

  @Test func aQueryIsAddedToWhatIsThere() throws {
    let address = try #require(WebAddress("https://a/token?x=1"))
    #expect(address.adding(query: [("scope", "a:b,c d")]).description == "https://a/token?x=1&scope=a%3Ab%2Cc%20d")
  }
}

@Suite struct AuthChallengeTests {
  @Test func severalChallengesInOneHeaderAreTakenApart() {
    let challenges = AuthChallenge.parse("Basic realm=\"a, b\", Bearer realm=\"https://x/token?y=1\",service=\"reg\\\"istry\" , scope=repository:a:pull")
    #expect(challenges.map(\.scheme) == ["basic", "bearer"])
    #expect(challenges.first?.parameters == ["realm": "a, b"])
    #expect(challenges.last?.parameters == ["realm": "https://x/token?y=1", "service": "reg\"istry", "scope": "repository:a:pull"])
  }

  @Test(arguments: ["", ",", "=", "\"", "Bearer realm=\"", "Bearer =", "Basic \\", "Negotiate YWJj=="]) func nonsenseIsReadToItsEnd(_ text: String) {
    #expect(AuthChallenge.parse(text).allSatisfy { $0.parameters["realm"] ?? "" == "" })
  }

  @Test(arguments: [
    (nil, "repository:app:pull"), ("repository:mirror/app:pull", "repository:mirror/app:pull"), ("repository:app:pull,push", "repository:app:pull"),
    ("repository:host:5000/app:*", "repository:host:5000/app:pull"), ("registry:catalog:*", "repository:app:pull"), ("", "repository:app:pull"),
  ]) func noMoreThanPullingIsAskedFor(_ challenge: String?, _ scope: String) {
    #expect(TokenScope.of("app", .pull, challenge: challenge) == scope)
    #expect(TokenScope.of("app", .push, challenge: challenge) == scope + ",push")
  }
}
