extension Statement {
  /// Consumers who share a daemon and do not meet.
  static let namespace: [Statement] = [
    Statement("NS-01", .namespaces, "Who specifies the namespace?", .must, "every call of the API is made in a namespace, which the client names"),
    Statement("NS-02", .namespaces, "Namespaces and Multi-Tenancy", .must, "each namespace has its own names, and sees no other's"),
    Statement("NS-03", .namespaces, "Namespaces and Multi-Tenancy", .must, "the bytes of images are shared by digest beneath the namespaces"),
    Statement("NS-04", .namespaces, "How does multi-tenancy work?", .must, "namespaces can be made, asked for and listed through the API"),
    Statement("NS-05", .namespaces, "Namespace Labels", .must, "a namespace may have labels"),
    Statement(
      "NS-06", .services, "namespaces.proto, UpdateNamespaceRequest", .must,
      "an update changes the labels that its mask names, and with an empty mask all of them"),
  ]
}
