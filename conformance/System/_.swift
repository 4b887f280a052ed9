// Cases about programs, processes and files of this machine.
