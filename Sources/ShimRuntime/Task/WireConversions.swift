import ContainerdAPI
import Protocols
import SwiftProtobuf

extension Timestamp {
  init(_ wire: Google_Protobuf_Timestamp) {
    self.init(seconds: wire.seconds, nanoseconds: wire.nanos)
  }
}

extension TypedValue {
  /// containerd writes type URLs bare; protobuf libraries put a host in front, which is dropped.
  init(bare any: Google_Protobuf_Any) {
    let host = "type.googleapis.com/"
    let url = any.typeURL.hasPrefix(host) ? String(any.typeURL.dropFirst(host.count)) : any.typeURL
    self.init(typeURL: url, value: Array(any.value))
  }

  var any: Google_Protobuf_Any {
    var any = Google_Protobuf_Any()
    any.typeURL = typeURL
    any.value = Bytes.data(value)
    return any
  }
}

extension Containerd_Types_Mount {
  init(_ mount: Mount) {
    self.init()
    type = mount.type
    source = mount.source
    target = mount.target
    options = mount.options
  }
}

extension ProcessStatus {
  init(_ wire: Containerd_V1_Types_Status) {
    switch wire {
    case .created: self = .created
    case .running: self = .running
    case .stopped: self = .stopped
    case .paused: self = .paused
    case .pausing: self = .pausing
    case .unknown, .UNRECOGNIZED: self = .unknown
    }
  }
}
