extension Statement {
  /// What programs expect of files, whatever they lie on.
  static let file: [Statement] = [
    Statement("FS-01", .manual, "link(2)", .must, "a hard link is one more name of the same file, and no name is the first"),
    Statement("FS-02", .manual, "inode(7)", .must, "the link count is the number of names, and falls to none with the last"),
    Statement("FS-03", .manual, "unlink(2)", .must, "a file without names lives as long as somebody has it open"),
    Statement(
      "FS-04", .manual, "inode(7), sticky bit", .must, "in a sticky directory a file is renamed or deleted by its owner, the directory's owner or root"),
    Statement("FS-05", .manual, "rename(2)", .must, "a rename within one file system moves a directory whole; across two it is EXDEV and changes nothing"),
    Statement("FS-06", .manual, "symlink(2)", .must, "a symbolic link holds any text that is not too long, whether it leads somewhere or not"),
    Statement(
      "FS-07", .manual, "path_resolution(7)", .must,
      "a path is followed name by name: what is missing, no directory, too long or looping has an error of its own"),
    Statement("FS-08", .manual, "path_resolution(7)", .must, "a name is the bytes between two slashes, and another name where one byte differs"),
    Statement(
      "FS-09", .manual, "path_resolution(7), Permissions", .must,
      "owner, group and others have the rights that the mode gives them; directories need the right to search"),
    Statement(
      "FS-10", .manual, "open(2)", .must, "each flag of open does what it says: make, refuse what is there, cut, append, take only directories, follow no link"),
    Statement("FS-11", .manual, "open(2), O_TMPFILE", .must, "a file without a name can be made, and given one"),
    Statement("FS-12", .manual, "mmap(2), MAP_SHARED", .must, "a shared mapping and the file are the same bytes"),
    Statement("FS-13", .manual, "truncate(2)", .must, "a cut file has exactly the length asked for; what is lost is gone, what is added reads as zeros"),
    Statement("FS-14", .manual, "lseek(2), SEEK_HOLE; fallocate(2)", .must, "holes are made and found, and read as zeros"),
    Statement("FS-15", .manual, "flock(2)", .must, "an exclusive lock keeps every other out until its last descriptor is closed"),
    Statement(
      "FS-16", .manual, "fcntl(2), Advisory record locking", .must, "of two locks on one part of a file that exclude each other one waits or is refused"),
    Statement("FS-17", .manual, "readdir(3)", .must, "a directory hands out its entries one by one to the end, with their types where it knows them"),
    Statement("FS-18", .manual, "mknod(2)", .must, "files, devices and pipes are made as nodes of the kind and numbers that were asked for"),
    Statement("FS-19", .manual, "fifo(7)", .must, "what one process writes into a FIFO another reads from it, and the file keeps nothing"),
    Statement(
      "FS-20", .manual, "unix(7), Pathname sockets", .must, "a socket that is bound to a path is found and connected to by that path until it is unlinked"),
    Statement("FS-21", .manual, "execve(2)", .must, "a file with the right to be executed is; without it the error is EACCES"),
    Statement("FS-22", .manual, "getcwd(2); path_resolution(7)", .must, "a working directory that was deleted has no path any more"),
    Statement("FS-23", .manual, "statfs(2)", .must, "a file system tells its size, what is free, and how long names may be"),
    Statement("FS-24", .manual, "fsync(2)", .must, "fsync brings a file, or a directory's entries, to the disk and says whether it could"),
    Statement("FS-25", .manual, "utimensat(2)", .must, "times are set to the nanosecond, of a symbolic link itself too"),
    Statement("FS-26", .manual, "chown(2)", .must, "a change of the owner or the group takes set-uid and set-gid from an executable file"),
    Statement("FS-27", .manual, "chown(2)", .must, "any owner and group can be set but the one number that means to leave it"),
    Statement("FS-28", .manual, "inode(7), set-group-ID bit", .must, "what is made in a set-gid directory has its group, and a directory the bit as well"),
    Statement("FS-29", .manual, "xattr(7)", .must, "attributes are names with values, set, read, listed and removed; each name space has rights of its own"),
    Statement("FS-30", .manual, "xattr(7), Limitations", .must, "an attribute's value has up to 64 KiB; what does not fit is refused"),
    Statement(
      "FS-31", .accessLists, "Access Check Algorithm; Object Creation and Default ACLs", .must,
      "an access list gives no more than its mask, and a default one is inherited"),
  ]
}
