extension Statement {
  /// The parts of config.json that every platform shares.
  static let configuration: [Statement] = [
    Statement("CF-01", .configuration, "Specification version", .must, "ociVersion is there and a semantic version"),
    Statement("CF-02", .configuration, "Root", .must, "root.path is there and names a directory"),
    Statement("CF-03", .configuration, "Root", .must, "root.readonly gives a root that cannot be written"),
    Statement("CF-04", .configuration, "Mounts", .must, "mounts are made in the order of the list"),
    Statement("CF-05", .configuration, "Mounts", .should, "a destination is absolute; a relative one is taken from /"),
    Statement("CF-06", .configuration, "Linux mount options", .must, "the required mount options work"),
    Statement(
      "CF-07", .configuration, "Linux mount options", .should, "the recommended mount options work: recursive attributes, symlink following, id mapping",
      exempt: "recommendations that each need a kernel and a file system of their own; a runtime may leave them out"),
    Statement("CF-08", .configuration, "Linux mount options", .should, "unknown options are handed to the file system"),
    Statement(
      "CF-09", .configuration, "Mounts", .must, "uidMappings and gidMappings of a mount come together",
      exempt: "runtimes of the specification before 1.1 ignore both properties as unknown, which CF-20 asks of them"),
    Statement("CF-10", .configuration, "Process", .must, "process is there when start is called"),
    Statement("CF-11", .configuration, "Process", .must, "cwd is absolute"),
    Statement("CF-12", .configuration, "Process", .must, "args has at least one entry and is executed as execvp would"),
    Statement(
      "CF-13", .configuration, "Process", .must, "consoleSize is ignored where there is no terminal",
      exempt: "what is ignored shows nowhere; that a configuration with it is taken is CF-20"),
    Statement("CF-14", .configuration, "POSIX process", .must, "rlimits are exactly as configured; unknown types and repeated ones are errors"),
    Statement("CF-15", .configuration, "Linux Process", .must, "capabilities that cannot be granted are warned of and do not fail the container"),
    Statement("CF-16", .configuration, "Linux Process", .must, "oomScoreAdj is applied where it is set, and left alone where not"),
    Statement("CF-17", .configuration, "User", .must, "uid and gid are those of the container's namespace"),
    Statement("CF-18", .configuration, "Annotations", .must, "annotations map strings to strings, with keys that are not empty; unknown keys are not an error"),
    Statement("CF-20", .configuration, "Extensibility", .must, "unknown properties are ignored, never an error"),
    Statement("CF-21", .configuration, "Valid values", .must, "invalid and unsupported values are errors"),
    Statement(
      "CF-22", .configuration, "Valid values", .may, "a runtime may take only some of the valid values",
      exempt: "a permission: a value refused under it is right, and a value taken as well"),
    Statement(
      "CF-23", .configuration, "Glossary", .must, "the configuration is JSON in UTF-8 without repeated names",
      exempt: "binds the author of a configuration: what a runtime does with a repeated name is not said"),
    Statement("CF-24", .configuration, "Bundle", .must, "config.json lies at the root of the bundle"),
  ]
}
