/* A disk as a test wants it, between the program and the system: while the file hold exists in DISK, no sync returns; while the
 * file fail exists, every sync reports an error of the device. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int told(const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", getenv("DISK"), name);
  return access(path, F_OK) == 0;
}

static int sync_as_told(int fd, const char *name) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct timespec pause = {0, 5000000};
  while (told("hold")) nanosleep(&pause, NULL);
  if (told("fail")) {
    errno = EIO;
    return -1;
  }
  return sync(fd);
}

int fsync(int fd) { return sync_as_told(fd, "fsync"); }
int fdatasync(int fd) { return sync_as_told(fd, "fdatasync"); }
