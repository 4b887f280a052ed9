extension Statement {
  /// What no public document says, and our protocols do.
  static let contract: [Statement] = contractOfValues + contractOfSnapshots + contractOfContent + contractOfLayers + contractOfMetadata + contractOfRuntimes

  private static let contractOfValues: [Statement] = [
    Statement("REF-V01", .contract, "Labels", .must, "labels are free text by key, and each is kept as it was given"),
    Statement("REF-V02", .contract, "FieldMask", .must, "a mask of one label changes that label and no other"),
    Statement("REF-V03", .contract, "ContainerdError", .must, "an error names the object and the cause in words for an operator"),
    Statement("REF-V04", .contract, "ContainerdError", .must, "an error keeps its class through every layer, for programs act on it"),
  ]

  private static let contractOfSnapshots: [Statement] = [
    Statement("REF-S01", .contract, "Snapshotter, keys", .must, "a key or name has at least one byte: an empty one is refused"),
    Statement("REF-S02", .contract, "Snapshotter.prepare", .should, "an empty key or name is an invalid argument"),
    Statement("REF-S03", .contract, "Snapshotter", .must, "whatever is asked of a key that is not there is not found"),
    Statement("REF-S04", .contract, "Snapshotter, keys", .must, "keys are opaque text"),
    Statement("REF-S05", .contract, "Snapshotter.walk", .must, "an error of the visitor ends the walk and is thrown"),
    Statement("REF-S06", .contract, "Snapshotter.walk", .must, "the visitor may use the snapshotter"),
    Statement("REF-S07", .contract, "Snapshotter, concurrency", .must, "all calls may be made at the same time: each happens wholly or not at all"),
    Statement("REF-S08", .contract, "Snapshotter.usage", .must, "usage counts a file once, however many names it has"),
    Statement("REF-S09", .contract, "Snapshotter law 4", .must, "what is half made is never listed, and cleanup removes that and no more"),
    Statement("REF-S10", .contract, "Snapshotter.close; law 5", .must, "snapshots stay when the connection or the process that they were made by ends"),
  ]

  private static let contractOfContent: [Statement] = [
    Statement("REF-C01", .contract, "ContentIngester.writer", .must, "an empty ref is refused"),
    Statement("REF-C02", .contract, "ContentIngester.writer", .must, "an ingest of which another size was expected starts anew"),
    Statement("REF-C03", .contract, "ContentStore.abort", .must, "an abort of a ref that no ingest has is not found"),
    Statement("REF-C04", .contract, "ContentStore.abort", .must, "a writer whose ingest was aborted fails from then on"),
    Statement("REF-C05", .contract, "ContentStore law 3", .must, "one writer holds a ref at a time, and a second is unavailable"),
    Statement("REF-C06", .contract, "ContentStore law 2", .must, "of many commits of the same bytes one makes the blob, the others find it there"),
    Statement("REF-C07", .contract, "ContentWriter.close", .must, "a closed writer writes and commits nothing"),
    Statement("REF-C08", .contract, "ContentWriter.truncate", .must, "an ingest is cut to at most what it has"),
    Statement("REF-C09", .contract, "ContentStore, concurrency", .must, "all calls may be made at the same time, and none takes part in another"),
    Statement("REF-C10", .contract, "ContentReader", .must, "an open reader reads on whatever becomes of the blob's name"),
    Statement("REF-C11", .contract, "ContentStore.walk", .must, "an error of the visitor ends the walk and is thrown"),
    Statement("REF-C12", .contract, "ContentStore.walk", .must, "the visitor may use the store"),
    Statement("REF-C13", .contract, "ContentStore law 5", .must, "a store takes bytes as they come: none at all, or many millions in one write"),
    Statement("REF-C14", .contract, "ContentStore.update", .must, "what has no blob has no labels: an update of it is not found"),
    Statement("REF-C15", .contract, "ContentStore.walk", .may, "blobs are filtered by their size, too"),
  ]

  private static let contractOfLayers: [Statement] = [
    Statement("REF-L01", .contract, "LayerApplier.apply", .must, "nothing outside of the tree is read or written, whatever links lead there"),
    Statement("REF-L02", .contract, "LayerApplier.apply", .must, "a layer whose blob is missing is not found"),
    Statement("REF-L03", .contract, "Layers", .must, "mounts that cannot be performed, and no mounts at all, are an error that leaves nothing"),
    Statement("REF-L04", .contract, "LayerApplier", .must, "layers are applied at the same time without meeting"),
    Statement("REF-L05", .contract, "LayerApplier.apply", .must, "an archive that cannot be applied as it is written is refused"),
    Statement("REF-L06", .contract, "LayerDiffer.diff", .must, "a difference is what turns the lower tree into the upper one, and no more"),
    Statement("REF-L07", .contract, "LayerDiffer.diff", .must, "the same trees make the same bytes"),
    Statement("REF-L08", .contract, "LayerDiffer.diff", .must, "the blob of a difference is labelled with its DiffID"),
    Statement("REF-L09", .contract, "LayerApplier.apply", .must, "bytes that do not have the digest of the descriptor are refused"),
    Statement("REF-F01", .contract, "Fetcher.fetch", .must, "a stream has exactly the bytes from the offset to the size of the descriptor, or throws"),
    Statement("REF-F02", .contract, "Fetcher.fetch", .must, "an offset that a fetch cannot begin at is out of range"),
    Statement("REF-F03", .contract, "ByteStream.cancel", .must, "a stream may be given up at any time"),
    Statement("REF-F04", .contract, "Resolver.resolve", .must, "a name with a tag or a digest becomes the descriptor of its manifest or index"),
    Statement("REF-F05", .contract, "Resolver.resolve", .must, "what the registry does not have or will not tell is an error"),
  ]

  private static let contractOfMetadata: [Statement] = [
    Statement("REF-M01", .contract, "MetadataStore law 1", .must, "a change and the lease that holds it happen together, wholly or not at all"),
    Statement("REF-M02", .contract, "MetadataStore law 2", .must, "a collection removes exactly what no root reaches"),
    Statement("REF-M03", .contract, "NamespaceStore.delete", .must, "a namespace that holds anything is not deleted, and the error says what it holds"),
    Statement("REF-M04", .contract, "MetadataStore law 3", .must, "the first thing that is made in a namespace makes the namespace"),
    Statement("REF-M05", .contract, "MetadataStore law 1", .must, "under a lease that is not there nothing is made"),
    Statement("REF-M06", .contract, "MetadataStore.snapshotter", .must, "a snapshotter that is not registered is an error that says so"),
    Statement("REF-M07", .contract, "ContainerStore.create", .must, "a container without a runtime or a spec, or whose id is no identifier, is refused"),
    Statement("REF-M08", .contract, "ImageStore", .must, "of an image labels, annotations and target change, and nothing else"),
    Statement("REF-M09", .contract, "Metadata", .must, "references end at the border of their namespace"),
    Statement("REF-M10", .contract, "ImageStore.create", .must, "an image without a name, or whose target has no type or size, is refused"),
  ]

  private static let contractOfRuntimes: [Statement] = [
    Statement("REF-R01", .contract, "Runtime law 3", .must, "a creation that fails leaves no process, mount, cgroup or file"),
    Statement("REF-R02", .contract, "Runtime.create", .must, "a container has one task: a second creation finds it there"),
    Statement("REF-R03", .contract, "Runtime.task, tasks", .must, "a task is found by its namespace and id, and listed in its namespace"),
    Statement("REF-R04", .contract, "ContainerTask", .must, "what was deleted or never was is not found, a task or an exec"),
    Statement("REF-R05", .contract, "ContainerTask.start", .must, "a program is started once, whoever asks and however often"),
    Statement("REF-R06", .contract, "ContainerTask.exec", .must, "an exec is added from creation on, not while the task is paused and not after its end"),
    Statement("REF-R07", .contract, "ContainerTask.exec", .must, "the id of an exec is taken until the exec is deleted"),
    Statement("REF-R08", .contract, "ContainerTask", .must, "an exec has a life of its own: it is started, signalled, waited for and deleted by its id"),
    Statement("REF-R09", .contract, "ContainerTask.kill", .must, "a signal reaches the process that is named and no other; one that has ended is not found"),
    Statement("REF-R10", .contract, "ContainerTask.wait", .must, "a wait ends with the process, and any number of waiters get the same answer"),
    Statement("REF-R11", .contract, "ContainerTask.delete", .must, "what has ended or never ran is deleted, what runs is not"),
    Statement("REF-R12", .contract, "ContainerTask.delete", .should, "a deletion of what runs is a failed precondition"),
    Statement("REF-R13", .contract, "ContainerTask.pids", .must, "pids are those of the first process and of the execs, in the host's numbers"),
    Statement("REF-R14", .contract, "ContainerTask.pause, resume", .must, "a pause holds every process still, and a resume lets them go on"),
    Statement("REF-R15", .contract, "ContainerTask.pause, resume", .should, "what does not run is not paused, and what is not paused not resumed"),
    Statement("REF-R16", .contract, "ContainerTask.stats", .must, "statistics are what the cgroup counts, in a known type"),
    Statement("REF-R17", .contract, "ExitStatus", .must, "the code of an end is the program's own, or 128 and the signal that ended it"),
    Statement("REF-R18", .contract, "ExitStatus", .must, "an end has one code and one time, whoever tells of it"),
    Statement("REF-R19", .contract, "Runtime law 4", .must, "the end of a process is told once, after its start and before its deletion"),
    Statement("REF-R20", .contract, "Runtime law 5", .must, "with the first process end all others, and are told as ended before it"),
    Statement("REF-R21", .contract, "Runtime, states", .must, "what a state does not allow is refused and changes nothing"),
    Statement("REF-R22", .contract, "Runtime law 2", .must, "a task outlives the connection and the daemon: whoever comes back finds its state and its end"),
  ]
}
