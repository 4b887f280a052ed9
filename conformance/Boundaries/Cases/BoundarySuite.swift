import ConformanceSuites

/// The laws between the layers: pulling never touches storage, components only produce mounts, and nobody knows more than its protocol tells.
public enum BoundarySuite {
  public static let cases: [ContractCase<PipelineSubject>] = pulling + knowing + mounting + ordering + failing + repeating + swapping + leaving

  static let law = "docs/architecture.md, law"
}
