import ContainerSpec
import ContainerdClient
import Hashing
import OCI
import Protocols
import SystemKit

/// `run`, in the order of what happens: image, snapshot, spec, container, task; then staying with it, and taking it away.
///
/// Everything up to the start is undone if a later step fails or the user interrupts it.
struct ContainerRun: Sendable {
  private let options: RunCommand
  private let id: String
  private let labels: Labels
  private let mounts: [SpecMount]
  private let annotations: [String: String]
  private let namespaces: [String: String]

  /// Reads what was given; nothing has happened when this throws.
  init(_ options: RunCommand) throws {
    self.options = options
    id = options.id
    try Identifiers.validate(id, kind: "container id")
    labels = try pairs(options.life.label, "--label")
    // As ctr has it: labels are told to the runtime too.
    annotations = try labels.merging(pairs(options.life.annotation, "--annotation")) { $1 }
    mounts = try options.program.mount.map { text throws(ContainerdError) in try SpecMount(parsing: text) }
    var namespaces: [String: String] = [:]
    for text in options.program.withNs {
      let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ContainerdError.invalidArgument("--with-ns \"\(text)\": TYPE:PATH is needed") }
      namespaces[parts[0]] = parts[1]
    }
    self.namespaces = namespaces
  }

  /// The program's exit status; 0 for a container that was left running.
  func perform(_ connection: ContainerdClient, _ signals: SignalForwarder) async throws -> UInt32 {
    let undo = Undo()
    do {
      let image = try await image(connection)
      try await refuseTakenName(connection)
      // Snapshot and container are made under a lease: nothing of it is collected before the container holds it.
      let rootfs = try await connection.leased { try await makeContainer($0, image, undo) }
      let (task, io) = try await makeTask(connection, rootfs, undo)
      if options.life.detach { return try await leave(task) }
      let status = try await stay(with: task, io, signals)
      _ = try await task.delete(exec: nil)
      if options.life.rm { try await ContainerRemoval(connection: connection, id: id).run(force: false) }
      await removeStreams(io)
      return status.code
    } catch {
      await undo.run()
      throw error
    }
  }

  private func image(_ connection: ContainerdClient) async throws -> StoredImage {
    let record: ImageRecord
    do { record = try await connection.image(options.image) } catch let error as ContainerdError where error.code == .failedPrecondition && options.life.pull {
      try await ImagePulling(
        reference: options.image, snapshotter: options.life.snapshots.name, registries: options.registries.configuration()
      ).run(connection, ProgressDisplay(quiet: options.life.json))
      record = try await connection.image(options.image)
    }
    return try await StoredImage(record.target, in: connection.content)
  }

  private func refuseTakenName(_ connection: ContainerdClient) async throws {
    do { _ = try await connection.containers.get(id) } catch let error as ContainerdError where error.code == .notFound { return }
    throw ContainerdError.failedPrecondition("there is a container \(id) already. Remove it first: containerd-ref rm \(id)")
  }

  private func makeContainer(_ leased: ContainerdClient, _ image: StoredImage, _ undo: Undo) async throws -> [Mount] {
    let snapshotter = leased.snapshotter(options.life.snapshots.name)
    guard let chain = image.chainID(hash: { Digest.of($0) }) else { throw ContainerdError.invalidArgument("image \(options.image) has no layers to run") }
    do { _ = try await snapshotter.stat(chain) } catch let error as ContainerdError where error.code == .notFound {
      try await ImagePulling.unpack(
        leased, image: options.image, config: image.configDescriptor, layers: image.layers, snapshotter: options.life.snapshots.name)
    }
    let rootfs = try await snapshotter.prepare(id, parent: chain, labels: [:])
    await undo.add("remove snapshot \(id)") { [id] in try await snapshotter.remove(id) }

    let users = try await RootFiles.users(in: rootfs)
    let spec = try RuntimeSpec(request(image, users, namespace: leased.scope.namespace))
    var all = image.config.labels
    all[KillCommand.stopSignalLabel] = image.config.stopSignal.isEmpty ? "SIGTERM" : image.config.stopSignal
    let record = ContainerRecord(
      id: id, labels: all.merging(labels) { $1 }, image: options.image, runtime: options.life.runtime,
      runtimeOptions: TypedValue(typeURL: "containerd.runc.v1.Options", value: []), spec: try spec.packed(),
      snapshotter: options.life.snapshots.name, snapshotKey: id)
    _ = try await ContainerdClient.finishing { try await leased.containers.create(record) }
    await undo.add("remove container \(id)") { [containers = leased.containers, id] in try await containers.delete(id) }
    return rootfs
  }

  private func request(_ image: StoredImage, _ users: UserDatabase, namespace: String) throws -> SpecRequest {
    var request = SpecRequest(namespace: namespace, id: id, image: image.config)
    request.command = options.command
    request.user = try users.user(options.program.user ?? image.config.user)
    request.environment = options.program.env
    request.workingDirectory = options.program.cwd
    request.terminal = options.program.tty
    request.readOnly = options.program.readOnly
    request.mounts = mounts
    request.annotations = annotations
    request.joinedNamespaces = namespaces
    request.hostNetworkOf = options.program.netHost ? try Machine.hostName() : nil
    request.memoryLimit = options.limits.memoryLimit
    request.cpus = options.limits.cpus
    request.cpuShares = options.limits.cpuShares
    request.addedCapabilities = options.limits.capAdd
    request.droppedCapabilities = options.limits.capDrop
    request.allowNewPrivileges = options.limits.allowNewPrivs
    request.privileges = options.limits.privileged ? try Machine.privileges() : nil
    return request
  }

  private func makeTask(_ connection: ContainerdClient, _ rootfs: [Mount], _ undo: Undo) async throws -> (any ContainerTask, TaskStreams) {
    let io = try TaskStreams(
      id: id, logURI: options.life.logUri, detached: options.life.detach, terminal: options.program.tty,
      directory: options.life.fifoDir ?? Files.parent(of: options.client.address) + "/fifo")
    await undo.add("remove the FIFOs of \(id)") { try io.remove() }
    let tasks = connection.tasks
    await undo.add("remove task \(id)") { [id] in try await TaskRemoval.force(tasks.task(id)) }
    return (try await tasks.create(id, rootfs: rootfs, io: io.io), io)
  }

  private func leave(_ task: any ContainerTask) async throws -> UInt32 {
    let pid = try await task.start(exec: nil)
    if options.life.json {
      struct Row: Encodable {
        var id: String
        var pid: UInt32
      }
      try Output.json(Row(id: id, pid: pid))
    } else {
      Output.text("\(id)\n")
    }
    return 0
  }

  private func stay(with task: any ContainerTask, _ io: TaskStreams, _ signals: SignalForwarder) async throws -> ExitStatus {
    try await ProcessSession(task: task, exec: nil, io: io.io).run(signals)
  }

  /// The container has run as wished: what cannot be removed now is worth a word, not a failure.
  private func removeStreams(_ io: TaskStreams) async {
    do { try io.remove() } catch { Failure.say("could not remove the FIFOs of \(id): \(error)") }
  }
}
