/// `linux.seccomp` (config-linux.md, "Seccomp").
public struct SeccompSpec: Sendable {
  public struct Argument: Sendable {
    public var index: UInt32
    public var value: UInt64
    public var valueTwo: UInt64
    public var op: String
  }
  public struct Rule: Sendable {
    public var names: [String]
    public var action: String
    public var errnoRet: UInt32?
    public var args: [Argument]
  }

  public var defaultAction: String
  public var defaultErrnoRet: UInt32?
  public var architectures: [String]
  public var flags: [String]
  public var rules: [Rule] = []

  init(_ json: JSONReader) throws(RuntimeError) {
    defaultAction = try json.required("defaultAction", json.string("defaultAction"))
    defaultErrnoRet = try json.integer("defaultErrnoRet")
    architectures = try json.strings("architectures")
    flags = try json.strings("flags")
    for rule in try json.objects("syscalls") {
      var arguments: [Argument] = []
      for argument in try rule.objects("args") {
        arguments.append(
          Argument(
            index: try argument.required("index", argument.integer("index")), value: try argument.integer("value") ?? 0,
            valueTwo: try argument.integer("valueTwo") ?? 0, op: try argument.required("op", argument.string("op"))))
      }
      let names = try rule.strings("names")
      guard !names.isEmpty else { throw rule.error("names", "is empty") }
      rules.append(
        Rule(names: names, action: try rule.required("action", rule.string("action")), errnoRet: try rule.integer("errnoRet"), args: arguments))
    }
    if try json.string("listenerPath") != nil || rules.contains(where: { $0.action == "SCMP_ACT_NOTIFY" }) || defaultAction == "SCMP_ACT_NOTIFY" {
      throw json.error("listenerPath", "SCMP_ACT_NOTIFY and its listener are not supported")
    }
  }
}
