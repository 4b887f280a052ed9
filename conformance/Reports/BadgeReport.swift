import ConformanceKit

/// A small picture for a README: the verdict, and how many cases passed of those that were tried.
enum BadgeReport {
  static func render(_ report: RunReport) -> String {
    let verdict = Verdict(report)
    let (label, value) = ("conformance", text(report, verdict))
    let colour =
      switch verdict.word {
      case .conformant: "#1a7f4b"
      case .partial, .undecided: "#9a6700"
      case .notConformant: "#c0362c"
      }
    let (left, right) = (width(label), width(value))
    let title = markup("\(report.name): \(value)")
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(left + right)" height="20" role="img" aria-label="\(title)">
        <title>\(title)</title>
        <clipPath id="r"><rect width="\(left + right)" height="20" rx="3"/></clipPath>
        <g clip-path="url(#r)">
          <rect width="\(left)" height="20" fill="#444b53"/>
          <rect x="\(left)" width="\(right)" height="20" fill="\(colour)"/>
        </g>
        <g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
          <text x="\(left / 2)" y="14" textLength="\(left - 12)">\(markup(label))</text>
          <text x="\(left + right / 2)" y="14" textLength="\(right - 12)">\(markup(value))</text>
        </g>
      </svg>

      """
  }

  private static func text(_ report: RunReport, _ verdict: Verdict) -> String {
    let passed = report.results.count { $0.outcome == .pass && $0.leaks.isEmpty }
    return "\(verdict.word.rawValue) \(passed)/\(report.executed)"
  }

  /// Wide enough for the widest usual font; `textLength` fits the letters in.
  private static func width(_ text: String) -> Int { 12 + text.count * 7 }
}

/// Text for HTML and SVG, in content and in quoted attributes. Control characters are shown as a replacement.
func markup(_ text: String) -> String {
  var out = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": out += "&amp;"
    case "<": out += "&lt;"
    case ">": out += "&gt;"
    case "\"": out += "&quot;"
    case "'": out += "&#39;"
    case "\n", "\t": out.unicodeScalars.append(scalar)
    default: out.unicodeScalars.append(scalar.value < 0x20 ? "\u{FFFD}" : scalar)
    }
  }
  return out
}
