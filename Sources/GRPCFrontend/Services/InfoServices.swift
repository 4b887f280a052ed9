import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct VersionService: Containerd_Services_Version_V1_Version.SimpleServiceProtocol {
  let identity: Identity

  func version(request: Google_Protobuf_Empty, context: ServerContext) async throws -> Containerd_Services_Version_V1_VersionResponse {
    .with {
      $0.version = identity.version
      $0.revision = identity.revision
    }
  }
}

struct IntrospectionService: Containerd_Services_Introspection_V1_Introspection.SimpleServiceProtocol {
  let identity: Identity
  let plugins: [Plugin]

  func plugins(
    request: Containerd_Services_Introspection_V1_PluginsRequest, context: ServerContext
  ) async throws -> Containerd_Services_Introspection_V1_PluginsResponse {
    let filters = try FilterSet(parsing: request.filters)
    return .with { $0.plugins = plugins.filter(filters.matches).map(\.wire) }
  }

  func server(request: Google_Protobuf_Empty, context: ServerContext) async throws -> Containerd_Services_Introspection_V1_ServerResponse {
    .with {
      $0.uuid = identity.uuid
      $0.pid = identity.pid
      $0.pidns = identity.pidNamespace
    }
  }

  func pluginInfo(
    request: Containerd_Services_Introspection_V1_PluginInfoRequest, context: ServerContext
  ) async throws -> Containerd_Services_Introspection_V1_PluginInfoResponse {
    guard let plugin = plugins.first(where: { $0.type == request.type && $0.id == request.id }) else {
      throw ContainerdError.notFound("plugin \(request.type).\(request.id)")
    }
    return .with { $0.plugin = plugin.wire }
  }
}

extension Plugin {
  var wire: Containerd_Services_Introspection_V1_Plugin {
    .with {
      $0.type = type
      $0.id = id
      $0.requires = requires
      $0.exports = exports
      $0.capabilities = capabilities
      if hasPlatform {
        $0.platforms = [
          .with {
            $0.os = Platform.host.os
            $0.architecture = Platform.host.architecture
            $0.variant = Platform.host.variant
          }
        ]
      }
    }
  }
}

struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
  private static let serving = Grpc_Health_V1_HealthCheckResponse.with { $0.status = .serving }

  func check(request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext) async throws -> Grpc_Health_V1_HealthCheckResponse { Self.serving }

  func list(request: Grpc_Health_V1_HealthListRequest, context: ServerContext) async throws -> Grpc_Health_V1_HealthListResponse {
    .with { $0.statuses = ["": Self.serving] }
  }

  /// The status never changes while we answer at all.
  func watch(
    request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>, context: ServerContext
  ) async throws {
    try await response.write(Self.serving)
    try await context.cancellation.cancelled
  }
}
