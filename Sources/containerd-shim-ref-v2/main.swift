import Glibc
import ShimServer

// One process, one thread, from the first line to the last: containers are cloned from it.
exit(Shim.main(Array(CommandLine.arguments.dropFirst())))
