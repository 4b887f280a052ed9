import ContainerdAPI
import Protocols
import SwiftProtobuf

extension ContainerRecord {
  package init(wire: Containerd_Services_Containers_V1_Container) {
    self.init(
      id: wire.id, labels: wire.labels, image: wire.image, runtime: wire.runtime.name,
      runtimeOptions: wire.runtime.hasOptions ? TypedValue(wire: wire.runtime.options) : nil, spec: wire.hasSpec ? TypedValue(wire: wire.spec) : nil,
      snapshotter: wire.snapshotter, snapshotKey: wire.snapshotKey, createdAt: Timestamp(wire: wire.createdAt), updatedAt: Timestamp(wire: wire.updatedAt),
      extensions: wire.extensions.mapValues(TypedValue.init(wire:)), sandbox: wire.sandbox)
  }

  package var wire: Containerd_Services_Containers_V1_Container {
    .with {
      $0.id = id
      $0.labels = labels
      $0.image = image
      $0.runtime.name = runtime
      if let runtimeOptions { $0.runtime.options = runtimeOptions.wire }
      if let spec { $0.spec = spec.wire }
      $0.snapshotter = snapshotter
      $0.snapshotKey = snapshotKey
      $0.createdAt = createdAt.wire
      $0.updatedAt = updatedAt.wire
      $0.extensions = extensions.mapValues(\.wire)
      $0.sandbox = sandbox
    }
  }
}
