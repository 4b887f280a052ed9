/// Media types of images (OCI image-spec, media-types.md; Docker image manifest v2 schema 2).
public enum MediaType {
  public static let ociIndex = "application/vnd.oci.image.index.v1+json"
  public static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
  public static let ociConfig = "application/vnd.oci.image.config.v1+json"
  public static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
  public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  public static let dockerConfig = "application/vnd.docker.container.image.v1+json"

  public static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerList }
  public static func isManifest(_ type: String) -> Bool { type == ociManifest || type == dockerManifest }
  public static let manifests = [ociIndex, dockerList, ociManifest, dockerManifest]
}
