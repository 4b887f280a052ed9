"""The messages of containerd.services.snapshots.v1, made when the program starts: nothing is generated, nothing but grpcio and protobuf is needed."""

from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2, field_mask_pb2, message_factory, timestamp_pb2

PACKAGE = "containerd.services.snapshots.v1"
SERVICE = PACKAGE + ".Snapshots"

# Every message with its fields in the order of their numbers, which are 1, 2, 3, … in all of them. `*` means repeated.
MESSAGES = """
Info:                   name:string parent:string kind:Kind created_at:Timestamp updated_at:Timestamp labels:labels
PrepareSnapshotRequest: snapshotter:string key:string parent:string labels:labels
ViewSnapshotRequest:    snapshotter:string key:string parent:string labels:labels
MountsRequest:          snapshotter:string key:string
RemoveSnapshotRequest:  snapshotter:string key:string
CommitSnapshotRequest:  snapshotter:string name:string key:string labels:labels parent:string
StatSnapshotRequest:    snapshotter:string key:string
UpdateSnapshotRequest:  snapshotter:string info:Info update_mask:FieldMask
ListSnapshotsRequest:   snapshotter:string filters:string*
UsageRequest:           snapshotter:string key:string
CleanupRequest:         snapshotter:string
PrepareSnapshotResponse: mounts:Mount*
ViewSnapshotResponse:    mounts:Mount*
MountsResponse:          mounts:Mount*
StatSnapshotResponse:    info:Info
UpdateSnapshotResponse:  info:Info
ListSnapshotsResponse:   info:Info*
UsageResponse:           size:int64 inodes:int64
"""
KINDS = ["UNKNOWN", "VIEW", "ACTIVE", "COMMITTED"]

F = descriptor_pb2.FieldDescriptorProto
MESSAGE_TYPES = {
    "Mount": ".containerd.types.Mount",
    "Info": f".{PACKAGE}.Info",
    "Timestamp": ".google.protobuf.Timestamp",
    "FieldMask": ".google.protobuf.FieldMask",
}


def _add_field(message, number, name, kind):
    field = message.field.add(name=name, number=number, label=F.LABEL_REPEATED if kind.endswith("*") else F.LABEL_OPTIONAL)
    kind = kind.rstrip("*")
    if kind == "string":
        field.type = F.TYPE_STRING
    elif kind == "int64":
        field.type = F.TYPE_INT64
    elif kind == "Kind":
        field.type, field.type_name = F.TYPE_ENUM, f".{PACKAGE}.Kind"
    elif kind == "labels":
        # A map is a repeated message of pairs.
        entry = message.nested_type.add(name="LabelsEntry")
        entry.options.map_entry = True
        _add_field(entry, 1, "key", "string")
        _add_field(entry, 2, "value", "string")
        field.label, field.type, field.type_name = F.LABEL_REPEATED, F.TYPE_MESSAGE, f".{PACKAGE}.{message.name}.LabelsEntry"
    else:
        field.type, field.type_name = F.TYPE_MESSAGE, MESSAGE_TYPES[kind]


def _build():
    pool = descriptor_pool.DescriptorPool()
    for module in (empty_pb2, field_mask_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)

    types = descriptor_pb2.FileDescriptorProto(name="types/mount.proto", package="containerd.types", syntax="proto3")
    mount = types.message_type.add(name="Mount")
    for number, (name, kind) in enumerate([("type", "string"), ("source", "string"), ("target", "string"), ("options", "string*")], 1):
        _add_field(mount, number, name, kind)
    pool.AddSerializedFile(types.SerializeToString())

    file = descriptor_pb2.FileDescriptorProto(name="snapshots.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["types/mount.proto", "google/protobuf/field_mask.proto", "google/protobuf/timestamp.proto"])
    kinds = file.enum_type.add(name="Kind")
    for number, name in enumerate(KINDS):
        kinds.value.add(name=name, number=number)
    for line in MESSAGES.strip().splitlines():
        name, fields = line.split(":", 1)
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields.split(), 1):
            _add_field(message, number, *field.split(":"))
    pool.AddSerializedFile(file.SerializeToString())

    get = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    names = [f"{PACKAGE}.{line.split(':')[0]}" for line in MESSAGES.strip().splitlines()] + ["containerd.types.Mount", "google.protobuf.Empty"]
    return {name.rsplit(".", 1)[1]: get(pool.FindMessageTypeByName(name)) for name in names}


globals().update(_build())

# Method: the message it takes, the message it gives, whether it gives a stream of them.
METHODS = {
    "Prepare": ("PrepareSnapshotRequest", "PrepareSnapshotResponse", False),
    "View": ("ViewSnapshotRequest", "ViewSnapshotResponse", False),
    "Mounts": ("MountsRequest", "MountsResponse", False),
    "Commit": ("CommitSnapshotRequest", "Empty", False),
    "Remove": ("RemoveSnapshotRequest", "Empty", False),
    "Stat": ("StatSnapshotRequest", "StatSnapshotResponse", False),
    "Update": ("UpdateSnapshotRequest", "UpdateSnapshotResponse", False),
    "List": ("ListSnapshotsRequest", "ListSnapshotsResponse", True),
    "Usage": ("UsageRequest", "UsageResponse", False),
    "Cleanup": ("CleanupRequest", "Empty", False),
}
