import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites

/// Faults of how a runtime calls hooks.
enum HookMutants {
  static let all: [Mutant] = order + failures + details
  private static let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]

  private static func hooks(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout JSON) -> Void)
    -> Mutant
  {
    RuntimeMutants.configured(id, sentence, in: .hooks, kills: kills, symptom: symptom) { config in
      if config["hooks"] != .null { change(&config["hooks"]) }
    }
  }

  /// Changes every hook of some kinds.
  private static func each(
    _ id: String, _ sentence: String, of some: [String] = kinds, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout JSON) -> Void
  ) -> Mutant {
    hooks(id, sentence, kills: kills, symptom: symptom) { all in
      for kind in some where all[kind] != .null {
        all[kind] = .array(
          all[kind].items.map {
            var hook = $0
            change(&hook)
            return hook
          })
      }
    }
  }

  private static func script(_ hook: inout JSON, _ change: (String) -> String) {
    var words = hook["args"].items
    guard words.count > 2, let text = words[2].text else { return }
    words[2] = .string(change(text))
    hook["args"] = .array(words)
  }

  private static func moved(_ from: String, _ to: String, _ all: inout JSON) {
    for hook in all[from].items { all[to].append(hook) }
    all.remove(from)
  }

  static let order: [Mutant] = [
    hooks("M160", "hooks of one kind run in reverse order", kills: ["hooks.order.listed"], symptom: "order of the hooks") { all in
      for kind in kinds where all[kind] != .null { all[kind] = .array(all[kind].items.reversed()) }
    },
    hooks("M161", "poststart hooks run during create", kills: ["hooks.order.poststart"], symptom: "during create") { moved("poststart", "createRuntime", &$0) },
    hooks(
      "R040", "createContainer hooks run before the others, in the runtime's namespaces", kills: ["hooks.order.create", "hooks.namespaces.createContainer"]
    ) {
      let first = $0["createContainer"].items
      $0["prestart"] = .array(first + $0["prestart"].items)
      $0.remove("createContainer")
    },
    hooks("R041", "startContainer hooks run during create", kills: ["hooks.order.start", "hooks.namespaces.startContainer"]) {
      moved("startContainer", "createRuntime", &$0)
    },
    hooks("R042", "poststop hooks do not run", kills: ["hooks.order.poststop", "hooks.failure.*-poststop", "hooks.state.poststop"]) { $0.remove("poststop") },
    hooks("R043", "prestart and createRuntime hooks run in the container's namespaces", kills: ["hooks.namespaces.runtime"], symptom: "mount namespace") {
      let moved = $0["prestart"].items + $0["createRuntime"].items
      $0.remove("prestart")
      $0.remove("createRuntime")
      $0["createContainer"] = .array(moved + $0["createContainer"].items)
    },
    hooks("R044", "createRuntime hooks do not run", kills: ["hooks.namespaces.usable", "hooks.order.create"]) { $0.remove("createRuntime") },
  ]

  static let failures: [Mutant] =
    ["prestart", "createRuntime", "createContainer", "startContainer"].map { kind in
      each("M163-\(kind)", "the failure of a \(kind) hook is passed over", of: [kind], kills: ["hooks.failure.\(kind)"]) {
        script(&$0) { $0.replacing("exit 3", with: "exit 0") }
      }
    } + [
      hooks("M164", "after a poststop hook that failed the next ones do not run", kills: ["hooks.failure.poststop"], symptom: "what ran") {
        let all = $0["poststop"].items
        guard let failing = all.firstIndex(where: { $0["args"].items.last?.text?.contains("exit 3") ?? false }) else { return }
        $0["poststop"] = .array(Array(all.prefix(through: failing)))
      }
    ]

  static let details: [Mutant] = [
    each("M166", "hooks get no state on their standard input", kills: ["hooks.state.create", "hooks.state.poststop"], symptom: "standard input") {
      script(&$0) { "exec </dev/null; " + $0 }
    },
    each("M166b", "poststop hooks get no state", of: ["poststop"], kills: ["hooks.state.poststop"], symptom: "must get the container's state") {
      script(&$0) { $0 + "; : >$N/poststop.state" }
    },
    each("M167", "a hook's timeout is not heeded", kills: ["hooks.timeout.enforced", "hooks.timeout.not-positive"]) { $0.remove("timeout") },
    each("R045", "hooks get a variable more than is configured", kills: ["hooks.environment.exact"], symptom: "environment") { $0["env"].append("LEAK=1") },
    each("R046", "args[0] of a hook is its path", kills: ["hooks.arguments.first"], symptom: "args[0]") {
      if let path = $0["path"].text { $0["args"] = .array([.string(path)] + $0["args"].items.dropFirst()) }
    },
    each("R047", "a relative path of a hook is searched in /bin", kills: ["hooks.path.relative"], symptom: "it succeeded") {
      if let path = $0["path"].text, !path.hasPrefix("/") { $0["path"] = .string("/bin/" + path) }
    },
    each("R048", "create waits for what a hook leaves behind", kills: ["hooks.daemon"], symptom: "create took") { script(&$0) { $0 + " wait" } },
  ]
}
