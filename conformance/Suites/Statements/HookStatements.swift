extension Statement {
  /// When, where and how hooks run.
  static let hook: [Statement] = [
    Statement("HK-01", .configuration, "POSIX-platform Hooks", .must, "path is absolute"),
    Statement("HK-02", .configuration, "POSIX-platform Hooks", .must, "timeout, where it is set, is more than 0"),
    Statement("HK-03", .configuration, "POSIX-platform Hooks", .must, "hooks run in the order of the list"),
    Statement("HK-04", .configuration, "POSIX-platform Hooks", .must, "a hook gets the container's state on its standard input"),
    Statement(
      "HK-10", .configuration, "Prestart", .must,
      "prestart runs within create, after the environment is there and before the root is changed, before createRuntime, in the runtime's namespaces"),
    Statement("HK-11", .configuration, "CreateRuntime Hooks", .must, "createRuntime runs within create, in the same window, in the runtime's namespaces"),
    Statement(
      "HK-12", .configuration, "CreateContainer Hooks", .must,
      "createContainer runs after createRuntime and before the root is changed; its path is the runtime's, its namespaces the container's"),
    Statement(
      "HK-13", .configuration, "StartContainer Hooks", .must,
      "startContainer runs within start before the user's program, path and namespaces of the container"),
    Statement(
      "HK-14", .configuration, "Poststart", .must,
      "poststart runs after the program was executed and before start returns, in the runtime's namespaces"),
    Statement(
      "HK-15", .configuration, "Poststop", .must,
      "poststop runs after the container is deleted and before delete returns, in the runtime's namespaces"),
  ]
}
