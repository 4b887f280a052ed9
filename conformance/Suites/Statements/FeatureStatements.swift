extension Statement {
  /// What a runtime says of itself must be true.
  static let feature: [Statement] = [
    Statement(
      "FT-01", .features, "Specification version", .must, "the runtime takes the range of versions that it declares, and the highest is not below the lowest",
      exempt: "the features command may be missing; the versions that a runtime takes are judged by CF-01"),
    Statement(
      "FT-02", .features, "Hooks and mount options", .must, "the hooks and mount options that the runtime declares are recognised",
      exempt: "the features command may be missing; hooks and options are judged themselves by HK-10 to HK-15 and CF-06"),
    Statement(
      "FT-03", .features, "Linux", .must, "the namespaces and capabilities that the runtime declares are recognised",
      exempt: "the features command may be missing; namespaces and capabilities are judged themselves by LX-07 and CF-15"),
    Statement(
      "FT-04", .features, "Linux", .must, "the seccomp actions, operators, architectures and flags that the runtime declares are recognised",
      exempt: "the features command may be missing; seccomp is judged itself by LX-30"),
    Statement(
      "CP-01", .conformance, "Notational Conventions", .must, "a runtime complies if it keeps every MUST of its platform",
      exempt: "a sum of the others: it is the verdict of a run, not a case"),
  ]
}
