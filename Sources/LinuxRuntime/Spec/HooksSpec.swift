/// The six kinds of hooks (config.md, "POSIX-platform Hooks").
public struct HooksSpec: Sendable {
  public struct Hook: Sendable {
    public var path: String
    /// With the program's name first; the path when the configuration has none.
    public var args: [String]
    public var env: [String]
    /// Seconds; nil: as long as it takes.
    public var timeout: Int32?

    init(_ json: JSONReader) throws(RuntimeError) {
      path = try json.required("path", json.string("path"))
      guard path.hasPrefix("/") else { throw json.error("path", "must be absolute, not \"\(path)\"") }
      let arguments = try json.strings("args")
      args = arguments.isEmpty ? [path] : arguments
      env = try json.strings("env")
      timeout = try json.integer("timeout")
      if let timeout, timeout <= 0 { throw json.error("timeout", "must be above 0") }
    }
  }

  public var prestart: [Hook] = []
  public var createRuntime: [Hook] = []
  public var createContainer: [Hook] = []
  public var startContainer: [Hook] = []
  public var poststart: [Hook] = []
  public var poststop: [Hook] = []

  init() {}

  init(_ json: JSONReader) throws(RuntimeError) {
    func list(_ name: String) throws(RuntimeError) -> [Hook] {
      var hooks: [Hook] = []
      for hook in try json.objects(name) { hooks.append(try Hook(hook)) }
      return hooks
    }
    prestart = try list("prestart")
    createRuntime = try list("createRuntime")
    createContainer = try list("createContainer")
    startContainer = try list("startContainer")
    poststart = try list("poststart")
    poststop = try list("poststop")
  }
}
