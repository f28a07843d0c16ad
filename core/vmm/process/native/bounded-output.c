/* bounded-output BYTES CONSOLE LOG PROGRAM [ARGS...]
 *
 * Becomes PROGRAM, whose output goes through a pipe to a writer that keeps the files small: what comes on
 * descriptor 3 into CONSOLE, which begins anew, and standard output and error into LOG, which goes on. A file that
 * has reached BYTES becomes FILE.1, in the place of the one before, so that each takes twice that at most.
 *
 * A guest writes to its console what it likes, as fast as it can, and whether or not a daemon is there to look. So the
 * bound is kept by a process that lives exactly as long as PROGRAM: it ends with the last writer of its pipes. Should
 * it be killed, PROGRAM goes on and its output is lost. Its arguments stay those above, PROGRAM's among them: who
 * looks for PROGRAM by one of them finds the writer, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONSOLE_FD = 3, CHUNK = 65536 };

struct file {
	const char *path;
	char *old;
	int from, to;
	off_t size;
};

static void die(const char *what)
{
	fprintf(stderr, "bounded-output: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int open_new(const char *path, int flags)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
}

/* Where it cannot be moved away it is emptied: the bound holds whatever becomes of the text. */
static void turn_over(struct file *file)
{
	if (rename(file->path, file->old) != 0) {
		if (ftruncate(file->to, 0) == 0)
			file->size = 0;
		return;
	}
	int to = open_new(file->path, 0);
	if (to >= 0) {
		close(file->to);
		file->to = to;
		file->size = 0;
	}
}

/* A full disk loses text, not the writer. */
static void keep(struct file *file, const char *data, size_t n, off_t limit)
{
	while (n > 0) {
		if (file->size >= limit)
			turn_over(file);
		off_t room = limit - file->size;
		if (room <= 0)
			return;
		ssize_t done = write(file->to, data, (off_t)n < room ? n : (size_t)room);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		file->size += done;
		data += done;
		n -= (size_t)done;
	}
}

static void copy(struct file files[2], off_t limit)
{
	static char data[CHUNK];
	while (files[0].from >= 0 || files[1].from >= 0) {
		struct pollfd polls[2] = {{files[0].from, POLLIN, 0}, {files[1].from, POLLIN, 0}};
		if (poll(polls, 2, -1) < 0)
			continue;
		for (int i = 0; i < 2; i++) {
			if (!polls[i].revents)
				continue;
			ssize_t n = read(files[i].from, data, sizeof data);
			if (n > 0) {
				keep(&files[i], data, (size_t)n, limit);
			} else if (n == 0 || errno != EINTR) {
				close(files[i].from);
				files[i].from = -1;
			}
		}
	}
}

static void prepare(struct file *file, const char *path, int flags, int ends[2])
{
	struct stat info;
	file->path = path;
	if (asprintf(&file->old, "%s.1", path) < 0)
		die(path);
	if (flags & O_TRUNC && unlink(file->old) != 0 && errno != ENOENT)
		die(file->old);
	file->to = open_new(path, flags);
	if (file->to < 0 || fstat(file->to, &info) != 0 || pipe2(ends, O_CLOEXEC) != 0)
		die(path);
	file->size = info.st_size;
	file->from = ends[0];
}

int main(int argc, char **argv)
{
	struct file files[2];
	int console[2], output[2];
	long long limit = argc > 4 ? atoll(argv[1]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: bounded-output BYTES CONSOLE LOG PROGRAM [ARGS...]\n");
		return 2;
	}
	prepare(&files[0], argv[2], O_TRUNC, console);
	prepare(&files[1], argv[3], 0, output);
	pid_t writer = fork();
	if (writer < 0)
		die("fork");
	if (writer == 0) {
		close(console[1]);
		close(output[1]);
		/* What this process was given as its own output is the log, too, under a name that may change. */
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		signal(SIGPIPE, SIG_IGN);
		copy(files, (off_t)limit);
		return 0;
	}
	/* The pipe for descriptor 3 may be it already, and dup2 would then leave it to be closed on exec. */
	int spare = fcntl(console[1], F_DUPFD, 10);
	if (spare < 0 || dup2(spare, CONSOLE_FD) < 0 || dup2(output[1], STDOUT_FILENO) < 0 ||
	    dup2(output[1], STDERR_FILENO) < 0)
		die("dup2");
	close(spare);
	execv(argv[4], argv + 4);
	die(argv[4]);
}
