enum Help {
  static let text = """
    NAME:
       refrun - run containers from OCI bundles

    USAGE:
       refrun [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup] COMMAND [options] ...

    COMMANDS:
       create [-b BUNDLE] [--console-socket PATH] [--pid-file FILE] [--no-pivot] [--no-new-keyring] [--preserve-fds N] ID
       start ID
       run [-d] [options of create] ID
       exec [-d] [-t] [--process FILE] [--cwd DIR] [--env NAME=VALUE] [--user UID[:GID]] [--cap CAP]
            [--pid-file FILE] [--console-socket PATH] [--preserve-fds N] [--cgroup PATH] ID PROGRAM [ARGUMENT...]
       kill [--all] ID [SIGNAL]
       delete [--force] ID
       state ID
       list [--format table|json] [-q]
       ps [--format table|json] ID
       pause ID
       resume ID
       update [-r FILE|-] [--memory BYTES] [--memory-swap BYTES] [--memory-reservation BYTES] [--cpu-shares N]
              [--cpu-quota US] [--cpu-period US] [--cpuset-cpus LIST] [--cpuset-mems LIST] [--pids-limit N] [--blkio-weight N] ID
       events --stats ID
       spec [-b BUNDLE]
       features
       --version, --help
    """
}
