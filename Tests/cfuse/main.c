#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tap.h"
#include "tests.h"
#include "tree.h"

int main(int count, char **words) {
  if (count < 2) die("usage: %s <empty directory on ext4 or xfs> [test]...", words[0]);
  // Before there are threads or children: all have the same.
  make_tree();
  static const struct {
    const char *name;
    void (*run)(const char *);
  } all[] = {{"walk", test_walk}, {"opens", test_opens}, {"push", test_push}, {"present", test_present}, {"ahead", test_ahead}, {"take-over", test_take_over}, {"idle", test_idle}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    bool wanted = count == 2;
    for (int k = 2; k < count; k++) wanted |= strcmp(words[k], all[i].name) == 0;
    if (wanted) all[i].run(words[1]);
  }
  return tap_end();
}
