#pragma once

// Each mounts below `directory`, an empty one on a plain file system, and leaves it empty of mounts.
void test_walk(const char *directory);
void test_opens(const char *directory);
void test_push(const char *directory);
void test_present(const char *directory);
void test_ahead(const char *directory);
void test_take_over(const char *directory);
void test_idle(const char *directory);
