/* Beside libfaketime: it shares the time with child processes by a semaphore and memory with names, which
 * stay in /dev/shm when a process is killed. Where there are no such semaphores it does without. */
#include <errno.h>
#include <semaphore.h>

sem_t *sem_open(const char *name, int flags, ...) {
  (void)name;
  (void)flags;
  errno = ENOSYS;
  return SEM_FAILED;
}
