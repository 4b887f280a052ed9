import Protocols

struct InMemoryImageStore: ImageStore {
  let store: InMemoryMetadataStore
  let scope: Scope

  func get(_ name: String) async throws -> ImageRecord {
    try await store.instrument.enter("images.get", name)
    return try store.read(scope.namespace) { try Self.image($0, name) }
  }

  func list(_ filters: FilterSet) async throws -> [ImageRecord] {
    try await store.instrument.enter("images.list")
    return try store.read(scope.namespace) { $0.images.values.filter(filters.matches).sorted { $0.name < $1.name } }
  }

  func create(_ image: ImageRecord) async throws -> ImageRecord {
    let after = try await store.instrument.enter("images.create", image.name)
    try Self.validate(image)
    var created = image
    created.createdAt = store.now()
    created.updatedAt = created.createdAt
    try store.write(scope.namespace) { [created] objects in
      if objects.images[created.name] != nil { throw ContainerdError.alreadyExists("image \"\(created.name)\"") }
      objects.images[created.name] = created
      try objects.hold("images", created.name, for: scope)
    }
    store.publish(.imageCreate(name: created.name, labels: created.labels), in: scope.namespace)
    try after.finish()
    return created
  }

  func update(_ image: ImageRecord, fields: FieldMask) async throws -> ImageRecord {
    let after = try await store.instrument.enter("images.update", image.name)
    try fields.validate(fields: ["target"], maps: ["labels", "annotations"], object: "image \"\(image.name)\"")
    let updated = try store.write(scope.namespace) { objects in
      var stored = try Self.image(objects, image.name)
      stored.labels = fields.updatedLabels(of: stored.labels, from: image.labels)
      if fields.isEmpty || fields.paths.contains("target") {
        stored.target = image.target
      } else {
        stored.target.annotations = fields.updatedLabels(of: stored.target.annotations, from: image.target.annotations, field: "annotations")
      }
      stored.updatedAt = store.now()
      try Self.validate(stored)
      objects.images[stored.name] = stored
      try objects.hold("images", stored.name, for: scope)
      return stored
    }
    store.publish(.imageUpdate(name: updated.name, labels: updated.labels), in: scope.namespace)
    try after.finish()
    return updated
  }

  func delete(_ name: String) async throws {
    let after = try await store.instrument.enter("images.delete", name)
    try store.write(scope.namespace) { objects in
      _ = try Self.image(objects, name)
      objects.images[name] = nil
      objects.release("images", name)
    }
    store.publish(.imageDelete(name: name), in: scope.namespace)
    try after.finish()
  }

  private static func image(_ objects: NamespaceObjects, _ name: String) throws -> ImageRecord {
    guard let image = objects.images[name] else { throw ContainerdError.notFound("image \"\(name)\"") }
    return image
  }

  private static func validate(_ image: ImageRecord) throws {
    if image.name.isEmpty { throw ContainerdError.invalidArgument("image name must not be empty") }
    if image.target.mediaType.isEmpty { throw ContainerdError.invalidArgument("image \"\(image.name)\": target has no media type") }
    if image.target.size <= 0 { throw ContainerdError.invalidArgument("image \"\(image.name)\": target size \(image.target.size) must be positive") }
    try image.labels.validateLabels()
    try image.target.annotations.validateLabels()
  }
}
