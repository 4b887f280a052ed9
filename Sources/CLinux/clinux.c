#include "CLinux.h"

#include <sys/resource.h>

void clinux_give_back(void) {
  malloc_trim(0);
  FILE *file = fopen("/proc/self/smaps", "re");
  if (file == NULL) return;
  char line[8192];
  unsigned long start = 0, end = 0;
  int is_candidate = 0, is_clean = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned long from, to;
    char rights[5];
    int path = 0;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &from, &to, rights, &path) == 3) {
      start = from;
      end = to;
      is_candidate = path > 0 && line[path] == '/' && rights[1] == '-' && rights[3] == 'p';
    } else if (is_candidate && strncmp(line, "Anonymous:", 10) == 0) {
      // Pages that were written to, by relocations for one, are in no file: neither those in memory nor those that are swapped out.
      is_clean = strtoul(line + 10, NULL, 10) == 0;
    } else if (is_candidate && strncmp(line, "Swap:", 5) == 0) {
      if (is_clean && strtoul(line + 5, NULL, 10) == 0) madvise((void *)start, end - start, MADV_DONTNEED);
      is_candidate = 0;
    }
  }
  fclose(file);
}

static int set_back(int policy, int niceness, int class) {
  DIR *threads = opendir("/proc/self/task");
  if (threads == NULL) return -1;
  int result = 0;
  struct dirent *entry;
  while ((entry = readdir(threads)) != NULL) {
    pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
    if (thread <= 0) continue;
    struct sched_param none = {0};
    // A thread that has ended meanwhile needs nothing.
    if (sched_setscheduler(thread, policy, &none) != 0 && errno != ESRCH) result = -1;
    // Of one thread, here.
    if (niceness > 0 && setpriority(PRIO_PROCESS, (id_t)thread, niceness) != 0 && errno != ESRCH) result = -1;
    // ioprio_set(2): one thread, its class, and the last in it.
    if (syscall(SYS_ioprio_set, 1, thread, class << 13 | (class == 2 ? 7 : 0)) != 0 && errno != ESRCH) result = -1;
  }
  int error = errno;
  closedir(threads);
  errno = error;
  return result;
}

int clinux_be_idle(void) { return set_back(SCHED_IDLE, 0, 3); }

int clinux_be_modest(void) { return set_back(SCHED_BATCH, 10, 2); }
